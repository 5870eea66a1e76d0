"""What every endpoint works with."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from ..manager import ExpertManager
from .admission import Admission
from .observing import Observer
from .options import ServerOptions

__all__ = ["Service", "service_of"]


@dataclass(frozen=True)
class Service:
    """The experts, the server's options, the requests that are answered, and who watches."""

    manager: ExpertManager
    options: ServerOptions
    admission: Admission
    observer: Observer

    def names(self) -> list[str]:
        """The names of the experts."""
        return [status.name for status in self.manager.list_loaded_experts()]


def service_of(request: Request) -> Service:
    """The service of the application that got this request."""
    service = request.app.state.service
    assert isinstance(service, Service)  # `create_app` sets it  # noqa: S101
    return service

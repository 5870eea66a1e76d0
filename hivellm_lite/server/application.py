"""The whole server: API, page, probes, metrics, traces and the access log."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from ..manager import ExpertManager
from .access_log import AccessLog
from .admission import Admission
from .app import create_app
from .health import health, ready
from .hosts import guards
from .metrics import Metrics
from .observing import Together
from .options import ServerOptions
from .page import page
from .tracing import tracing

__all__ = ["create_server"]


def create_server(
    manager: ExpertManager, options: ServerOptions, *, log: Callable[[str], object] | None = None
) -> Starlette:
    """The application that ``hivellm-lite serve`` runs. The caller closes the manager.

    ``log`` writes a line for each request; None writes none.
    """
    admission = Admission(options.queue)
    metrics = Metrics(manager, lambda: admission.n_busy)
    return create_app(
        manager,
        options,
        Together(metrics, tracing()),
        admission=admission,
        routes=[
            Route("/", page, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/ready", ready(admission), methods=["GET"]),
            Route("/metrics", metrics.page, methods=["GET"]),
        ],
        middleware=[*([Middleware(AccessLog, write=log)] if log else []), *guards(options)],
    )

"""Under which names a server may be asked, and from which pages.

A browser sends the name of the address bar as ``Host``. A page of a stranger can make its own name
mean 127.0.0.1 (DNS rebinding) and would then reach a server on loopback, but not with this check.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import APIError, error_response
from .options import ServerOptions

__all__ = ["HostGuard", "guards"]

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def guards(options: ServerOptions) -> list[Middleware]:
    """The middleware that answers CORS requests and checks ``Host``, the first one outermost.

    A preflight request carries no key, so it is answered before keys are checked.
    """
    found = []
    if options.cors:
        found.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(options.cors),
                allow_methods=["GET", "POST"],
                allow_headers=["*"],
                expose_headers=["Retry-After", "X-Request-Id"],
                max_age=600,
            )
        )
    if options.is_loopback or options.allowed_hosts:
        names = (*_LOOPBACK, options.host, *options.allowed_hosts)
        found.append(Middleware(HostGuard, names=names))
    return found


class HostGuard:
    """ASGI middleware that refuses requests under other names than ``names``."""

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self._app = app
        self._names = {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._knows(Headers(scope=scope).getlist("host")):
            await self._app(scope, receive, send)
            return
        error = APIError(
            403,
            "The server does not answer under this name. Its operator can allow the name with "
            "--allowed-host.",
            code="host_not_allowed",
        )
        await error_response(error)(scope, receive, send)

    def _knows(self, hosts: Sequence[str]) -> bool:
        """Whether the one ``Host`` header, less its port, is known."""
        if len(hosts) != 1:
            return False
        host = hosts[0].strip().lower()
        name, colon, port = host.rpartition(":")
        if colon and port.isdigit() and not name.endswith(":"):
            host = name
        return host in self._names

"""One line in the log for each request: who asked what, how it ended, how long it took, its name.

Nothing of a prompt or an answer is in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .keys import KEY_NAME
from .request_ids import REQUEST_ID

__all__ = ["AccessLog"]

_QUIET = ("/health", "/ready", "/metrics")
"""Probes ask for these every few seconds."""


class AccessLog:
    """ASGI middleware, outermost but for the server itself."""

    def __init__(self, app: ASGIApp, write: Callable[[str], object]) -> None:
        self._app = app
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _QUIET:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 499  # unless a response begins, the client was gone before
        n_bytes = 0

        async def noted(message: Message) -> None:
            nonlocal status, n_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                n_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            seconds = time.perf_counter() - began
            client = scope["client"][0] if scope.get("client") else "-"
            # `!r` keeps control characters of a path out of the log
            self._write(
                f"{client} {scope.get(KEY_NAME, '-')} {scope['method']} {scope['path']!r:.200} "
                f"{status} {n_bytes} bytes {seconds:.3f} s {scope.get(REQUEST_ID, '-')}"
            )

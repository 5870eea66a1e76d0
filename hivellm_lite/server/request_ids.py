"""A name for each request, by which a client's error is found in the log."""

from __future__ import annotations

import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["REQUEST_ID", "RequestIds"]

REQUEST_ID = "hivellm_lite.request_id"
"""Where in an ASGI scope the request's name stands, for the log."""


class RequestIds:
    """ASGI middleware that writes the name into ``X-Request-Id``, where OpenAI's clients look."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = scope[REQUEST_ID] = f"req_{secrets.token_hex(8)}"

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-Id"] = name
            await send(message)

        await self._app(scope, receive, named)

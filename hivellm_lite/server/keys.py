"""API keys: who may ask."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import APIError, error_response
from .options import APIKey

__all__ = ["KEY_NAME", "OPEN_PATHS", "KeyGuard"]

KEY_NAME = "hivellm_lite.key_name"
"""Where in an ASGI scope the name of the client's key stands, for the log."""

OPEN_PATHS = ("/health", "/ready", "/")
"""Paths that need no key: probes send none, and the page asks for the key itself."""


class KeyGuard:
    """ASGI middleware that lets requests with a known bearer key pass; all, without keys."""

    def __init__(self, app: ASGIApp, keys: Sequence[APIKey]) -> None:
        self._app = app
        self._keys = [(key.name, key.key.encode("utf-8")) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._keys or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        name = self._name_of(Headers(scope=scope).get("authorization", ""))
        if name is None:
            await error_response(_refusal())(scope, receive, send)
            return
        scope[KEY_NAME] = name
        await self._app(scope, receive, send)

    def _name_of(self, header: str) -> str | None:
        """The name of the key in an ``Authorization`` header.

        Every key is compared, and each in constant time, so the time tells nothing.
        """
        scheme, _, given = header.partition(" ")
        offered = given.strip().encode("latin-1")  # the bytes as they came
        found = None
        for name, key in self._keys:
            if hmac.compare_digest(key, offered):
                found = name
        return found if scheme.lower() == "bearer" else None


def _refusal() -> APIError:
    return APIError(
        401,
        "The API key is missing or not known. Send 'Authorization: Bearer KEY'.",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )

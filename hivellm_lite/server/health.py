"""Probes: whether the process lives, and whether it takes requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .admission import Admission

__all__ = ["health", "ready"]


async def health(_request: Request) -> Response:
    """``GET /health``: 200 as long as the process answers."""
    return JSONResponse({"status": "ok"})


def ready(admission: Admission) -> Callable[[Request], Awaitable[Response]]:
    """``GET /ready``: 200 if requests are taken, 503 while the server shuts down."""

    async def answer(_request: Request) -> Response:
        status = "draining" if admission.draining else "ready"
        body = {"status": status, "answers": admission.n_busy, "limit": admission.limit}
        return JSONResponse(body, 503 if admission.draining else 200)

    return answer

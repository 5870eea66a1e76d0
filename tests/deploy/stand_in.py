"""What HAProxy sees of a server of experts: probes, and answers that say who gave them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

__all__ = ["HELD", "StandIn"]

HELD = "held"
"""The model whose answer comes only once ``go_on`` is set."""


class StandIn:
    """One server. ``asked`` has the model of every request that it computed.

    ``draining``: it refuses requests, as a server does from SIGTERM on. ``left`` is set when the
    client of a request for `HELD` has gone. Its answer, and what follows the first event
    of a stream, wait for ``go_on``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[str] = []
        self.draining = False
        self.left = threading.Event()
        self.go_on = threading.Event()
        self.app = Starlette(
            routes=[
                Route("/ready", self._ready),
                Route("/v1/models", self._models),
                Route("/v1/chat/completions", self._answer, methods=["POST"]),
            ]
        )

    async def _ready(self, _request: Request) -> Response:
        return Response(status_code=503 if self.draining else 200)

    async def _models(self, _request: Request) -> Response:
        return JSONResponse({"server": self.name})

    async def _answer(self, request: Request) -> Response:
        body = await request.json()
        if self.draining:
            return JSONResponse({"error": {"code": "shutting_down"}}, 503)
        self.asked.append(body["model"])
        if body["model"] == HELD:
            while not (self.go_on.is_set() or await request.is_disconnected()):
                await asyncio.sleep(0.01)
            if not self.go_on.is_set():
                self.left.set()
        if body.get("stream"):
            return StreamingResponse(self._events(), media_type="text/event-stream")
        return JSONResponse({"server": self.name})

    async def _events(self) -> AsyncIterator[str]:
        yield f"data: {self.name}\n\n"
        while not self.go_on.is_set():
            await asyncio.sleep(0.01)
        yield "data: [DONE]\n\n"

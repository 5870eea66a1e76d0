"""One request to an ASGI application in this process, whose response is read as messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.types import ASGIApp, Message, Scope

__all__ = ["exchange", "portable"]

_PORTABLE = (
    *("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string"),
    *("root_path", "headers", "client", "server"),
)

MAX_AHEAD = 64
"""Messages that the application may be ahead of a slow reader."""


def portable(scope: Scope) -> Mapping[str, Any]:
    """What of ``scope`` describes the request: plain values, which another process understands.

    The client's key is not among them: it has been checked, and stays in this process.
    """
    found = {name: scope[name] for name in _PORTABLE if name in scope}
    found["headers"] = [one for one in scope["headers"] if one[0].lower() != b"authorization"]
    return found


async def exchange(
    app: ASGIApp, scope: Mapping[str, Any], body: bytes
) -> AsyncGenerator[list[Message], None]:
    """The messages of the response, those that are there at once in one list.

    Closing the generator, or cancelling the task that reads from it, is the client's leaving: the
    application is told, cancelled, and has ended afterwards. Raises what the application raises.
    """
    messages: asyncio.Queue[Message | None] = asyncio.Queue(MAX_AHEAD)
    gone = asyncio.Event()
    received = False

    async def receive() -> Message:
        nonlocal received
        if not received:
            received = True
            return {"type": "http.request", "body": body, "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if not gone.is_set():
            await messages.put(message)

    async def respond() -> None:
        try:
            await app(dict(scope), receive, send)
        finally:
            if not gone.is_set():
                await messages.put(None)

    task = asyncio.create_task(respond())
    try:
        while True:
            batch = [await messages.get()]
            while not messages.empty():
                batch.append(messages.get_nowait())
            if found := [message for message in batch if message is not None]:
                yield found
            if batch[-1] is None:
                break
        await task
    finally:
        gone.set()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

"""Work for a client that may go away, take too long, or be stopped by the server."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from .admission import Place
from .errors import APIError

__all__ = ["ClientGone", "attended"]

_T = TypeVar("_T")


class ClientGone(Exception):
    """The client closed the connection, so nobody can be told anything."""


async def attended(
    work: Coroutine[Any, Any, _T], receive: Receive, place: Place, *, seconds: float | None
) -> _T:
    """What ``work`` returns. Its task is cancelled, and has ended, when this returns or raises.

    Raises ClientGone as soon as the client goes away, and APIError after ``seconds`` or when the
    server stops its requests. The body must have been read from ``receive``.
    """
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    stopped = asyncio.create_task(place.stopped.wait())
    watched: set[asyncio.Task[Any]] = {task, gone, stopped}
    try:
        done, _ = await asyncio.wait(watched, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        if gone in done:
            raise ClientGone
        if stopped in done:
            raise APIError(
                503,
                "The server is shutting down.",
                code="shutting_down",
                headers={"Retry-After": "1"},
            )
        raise APIError(
            504,
            f"The answer took longer than {seconds:g} seconds, the limit of this server.",
            code="timeout",
            headers={"x-should-retry": "false"},  # OpenAI's clients would ask the same again
        )
    finally:
        for one in watched:
            one.cancel()
        await asyncio.gather(*watched, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

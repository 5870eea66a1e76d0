"""How many requests wait or compute at once.

A request takes its places before anything is computed for it and gives them back when its answer
has ended, however it ends. What finds no place is refused at once, so the queue never grows.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from .errors import APIError

__all__ = ["Admission", "Place"]

RETRY_AFTER = {"Retry-After": "1"}
"""Seconds after which a refused client may ask again; an answer often takes about as long."""


class Place:
    """What an admitted request holds. ``stopped`` is set when the server wants it to end."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()


class Admission:
    """Counts requests. For one event loop; nothing in it waits but `emptied`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.draining = False
        self._places: dict[Place, int] = {}

    @property
    def n_busy(self) -> int:
        """Answers that wait or are computed now."""
        return sum(self._places.values())

    @contextlib.contextmanager
    def place(self, n: int = 1) -> Iterator[Place]:
        """Places for ``n`` answers of one request.

        Raises APIError: 429 where they are not free, 503 while the server shuts down.
        """
        if self.draining:
            raise APIError(
                503, "The server is shutting down.", code="shutting_down", headers=RETRY_AFTER
            )
        if n > self.limit:
            raise APIError(
                400,
                f"The request asks for {n} answers; this server computes {self.limit} at once.",
                code="too_many_answers",
            )
        if self.n_busy + n > self.limit:
            raise APIError(
                429,
                f"{self.n_busy} answers wait or are computed already, and {self.limit} is the "
                "most. Try again later.",
                code="queue_full",
                headers=RETRY_AFTER,
            )
        place = Place()
        self._places[place] = n
        try:
            yield place
        finally:
            del self._places[place]

    def drain(self) -> None:
        """Admit nothing more."""
        self.draining = True

    def stop_all(self) -> None:
        """Ask every request that is answered now to end."""
        for place in self._places:
            place.stopped.set()

    async def emptied(self, poll: float = 0.02) -> None:
        """Return when no request is left. ``poll``: seconds between two looks."""
        while self._places:
            await asyncio.sleep(poll)

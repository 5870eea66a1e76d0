"""The awaitable forms of generation. No thread waits: the scheduler calls the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from types import TracebackType

from .decoding import Decoding, Request
from .generation import answerable, in_order
from .members import Member
from .results import InferenceResult
from .scheduler import LOOKAHEAD
from .session import Session

__all__ = ["AsyncTextStream", "arun_batch"]


class AsyncTextStream(AsyncIterator[str]):
    """Pieces of an answer's text, for ``async for``; see `TextStream`.

    `result` is there afterwards. Cancelling the task that waits, or `aclose`, stops the
    decoding; ``async with`` closes by itself.
    """

    def __init__(
        self,
        session: Session,
        request: Request,
        *,
        ahead: bool = False,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._ended = weakref.finalize(self, on_end)
        self._ended.atexit = False
        self.result: InferenceResult | None = None
        self._session = session
        self._request = request
        self._credit = None if ahead else LOOKAHEAD
        self._member: Member | None = None
        self._delivered: asyncio.Queue[str | None] = asyncio.Queue()
        self._taken: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    async def __anext__(self) -> str:
        if self.result is not None:
            raise StopAsyncIteration
        if self._member is None:
            self._begin()
        assert self._member is not None  # `_begin` made it  # noqa: S101
        if self._credit is not None and self._delivered.empty():
            self._session.scheduler.grant(self._member)
        try:
            piece = await self._delivered.get()
        except asyncio.CancelledError:
            self._cancel()
            raise
        if piece is not None:
            self._taken.append(piece)
            return piece
        self._end()
        self.result = self._member.decoding.result()
        if self._member.decoding.error is not None:
            raise self._member.decoding.error
        raise StopAsyncIteration

    async def run(self) -> InferenceResult:
        """Take all pieces that are left; returns the result."""
        async for _ in self:
            pass
        assert self.result is not None  # noqa: S101 - an exhausted stream has a result
        return self.result

    async def aclose(self) -> None:
        """Stop generating. `result` then has ``finish_reason="cancelled"``."""
        self._cancel()

    async def __aenter__(self) -> AsyncTextStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        decoding = Decoding(self._request, self._session.model, self._session.n_ctx)

        def deliver(piece: str | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                loop.call_soon_threadsafe(self._delivered.put_nowait, piece)

        self._member = member = Member(decoding, deliver, self._credit)
        scheduler = self._session.scheduler
        scheduler.submit([member])
        if self._request.timeout is not None:
            self._timer = loop.call_later(
                self._request.timeout, scheduler.cancel, member, "timeout"
            )

    def _cancel(self) -> None:
        """Tell the scheduler, which stops within a step; the result is what was taken."""
        if self._member is None or self.result is not None:
            self._ended()
            return
        self._end()
        self._session.scheduler.cancel(self._member)
        so_far = self._member.decoding.result()
        self.result = replace(so_far, text="".join(self._taken), finish_reason="cancelled")

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._ended()

    def __del__(self) -> None:
        self._cancel()


async def arun_batch(
    session: Session, requests: Sequence[Request | Exception]
) -> list[InferenceResult | Exception]:
    """`run_batch` as a coroutine; cancelling the task stops all of it."""
    loop = asyncio.get_running_loop()
    scheduler = session.scheduler
    members: list[Member] = []
    ended: list[asyncio.Future[None]] = []
    timers = []
    for request in answerable(requests):
        future: asyncio.Future[None] = loop.create_future()
        ended.append(future)

        def deliver(piece: str | None, future: asyncio.Future[None] = future) -> None:
            if piece is None:
                with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
                    loop.call_soon_threadsafe(_resolve, future)

        member = Member(Decoding(request, session.model, session.n_ctx), deliver)
        members.append(member)
        if request.timeout is not None:
            timers.append(loop.call_later(request.timeout, scheduler.cancel, member, "timeout"))
    scheduler.submit(members)
    try:
        for future in ended:
            await future
    finally:
        for timer in timers:
            timer.cancel()
        for member in members:
            scheduler.cancel(member)
    return in_order(requests, [member.decoding for member in members])


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)

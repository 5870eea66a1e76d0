"""Answers piece by piece, for ``async for``. No thread waits for an answer; see `event_loop`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from types import TracebackType

from .event_loop import call_on, limit_time, prepare_off_loop
from .off_loop import off_loop
from .results import InferenceResult
from .submissions import Prepared, Submission
from .underway import AnswerStream

__all__ = ["AsyncTextStream"]


class AsyncTextStream(AnswerStream, AsyncIterator[str]):
    """Pieces of an answer's text, for ``async for``; see `TextStream`.

    `result` is there afterwards. Cancelling the task that waits, or `aclose`, stops the
    decoding; ``async with`` closes the stream. Errors of the request, such as a prompt that is
    too long, are raised when the first piece is asked for.
    """

    def __init__(
        self,
        prepare: Callable[[], Prepared],
        *,
        ahead: bool = False,
        within: Callable[[], AbstractAsyncContextManager[object]] = nullcontext,
    ) -> None:
        """``prepare`` makes the one request; it is called in a thread, inside of what ``within``
        makes. ``ahead``: compute to the end, whether or not the pieces are taken.
        """
        super().__init__(ahead=ahead)
        self._prepare = prepare
        self._within = within
        self._is_whole = False
        self._delivered: asyncio.Queue[str | None] = asyncio.Queue()
        self._timers: list[asyncio.TimerHandle] = []

    async def __anext__(self) -> str:
        if not self._is_open:
            raise StopAsyncIteration
        try:
            submission = self._underway.submission or await self._begin()
            if self._delivered.empty():
                submission.want_more()
            piece = await self._delivered.get()
        except BaseException:  # the task was cancelled, or the request cannot be asked
            self._cancel()
            raise
        if piece is not None:
            if not self._underway.take(submission, piece):  # another task has closed the stream
                raise StopAsyncIteration
            return piece
        if not self._leave():  # closed meanwhile
            raise StopAsyncIteration
        self.result = submission.decoding.result()
        self._stop_timers()
        if self._underway.holds:
            await off_loop(self._underway.release)
        if submission.decoding.error is not None:
            raise submission.decoding.error
        raise StopAsyncIteration

    @property
    def progress(self) -> InferenceResult | None:
        """What is computed of the answer so far; None before the prompt was prepared."""
        submission = self._underway.submission
        return None if submission is None else submission.decoding.result()

    async def run(self) -> InferenceResult:
        """Take all pieces that are left; returns the result. Where nothing was taken before, the
        loop is told of nothing but the end.
        """
        if self._underway.submission is None:
            self._ahead, self._is_whole = None, True
        async for _ in self:
            pass
        if self.result is None:  # another task has closed it before it began
            raise asyncio.CancelledError
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

    async def _begin(self) -> Submission:
        loop, underway, ahead = asyncio.get_running_loop(), self._underway, self._ahead
        put, is_whole = self._delivered.put_nowait, self._is_whole

        def deliver(piece: str | None) -> None:  # knows no `self`: a dropped stream is collected
            if piece is None or not is_whole:
                call_on(loop, put, piece)

        async with self._within():
            prepared, submission = await prepare_off_loop(
                self._prepare, lambda prepared: prepared.submission(deliver, ahead=ahead)
            )
        underway.prepared = prepared
        if not self._is_open:  # closed while it was prepared
            prepared.drop()
            raise StopAsyncIteration
        underway.begin(prepared, submission)
        self._timers = limit_time(loop, submission)
        return submission

    def _cancel(self) -> None:
        """Tell the scheduler, which stops within a step; the result is what was taken."""
        if not self._leave():
            return
        self._underway.drop()
        self._stop_timers()
        self.result = self._underway.taken()
        if self._underway.submission is not None:
            self._delivered.put_nowait(None)  # wakes a task that waits here

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()

"""The awaitable forms of generation. No thread waits for an answer: the scheduler calls the
event loop. What takes time before an answer begins (loading, a grammar, the prompt) is done in a
thread, so the loop never stands still.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, SupportsIndex

from ..process.state import no_copy
from .decoding import Request
from .off_loop import off_loop
from .results import InferenceResult
from .submissions import Hold, Submission, answerable, in_order, submit
from .turns import LOOKAHEAD

if TYPE_CHECKING:
    from .session import Session

__all__ = ["AsyncTextStream", "Prepared", "arun_batch"]


@dataclass(frozen=True)
class Prepared:
    """Requests, where to compute them, and what stays loaded meanwhile.

    An exception among the requests stands for a prompt that cannot be asked.
    """

    session: Session
    requests: Sequence[Request | Exception]
    hold: Hold | None = None

    def drop(self) -> None:
        """Give back what is held. Never waits."""
        if self.hold is not None:
            self.hold.drop()

    def release(self) -> None:
        """Give back what is held, and free what is over the limits; may wait for a step."""
        if self.hold is not None:
            self.hold.release()


class AsyncTextStream(AsyncIterator[str]):
    """Pieces of an answer's text, for ``async for``; see `TextStream`.

    `result` is there afterwards. Cancelling the task that waits, or `aclose`, stops the
    decoding; ``async with`` closes by itself. Errors of the request, such as a prompt that is
    too long, are raised when the first piece is asked for.
    """

    def __init__(self, prepare: Callable[[], Prepared], *, ahead: bool = False) -> None:
        """``prepare`` makes the one request; it is called in a thread. ``ahead``: compute to the
        end, whether or not the pieces are taken.
        """
        self.result: InferenceResult | None = None
        self._prepare = prepare
        self._ahead = None if ahead else LOOKAHEAD
        self._underway = _Underway()
        self._taken: list[str] = []
        # alive until the stream ends, is closed or is collected, whichever comes first
        self._open = weakref.finalize(self, self._underway.drop)
        self._open.atexit = False

    async def __anext__(self) -> str:
        if not self._open.alive:
            raise StopAsyncIteration
        try:
            submission = self._underway.submission or await self._begin()
            if self._underway.delivered.empty():
                submission.want_more()
            piece = await self._underway.delivered.get()
        except BaseException:  # the task was cancelled, or the request cannot be asked
            self._cancel()
            raise
        if piece is not None:
            self._taken.append(piece)
            submission.took()
            return piece
        if self._open.detach() is None:  # closed meanwhile
            raise StopAsyncIteration
        self.result = submission.decoding.result()
        await self._underway.release()
        if submission.decoding.error is not None:
            raise submission.decoding.error
        raise StopAsyncIteration

    async def run(self) -> InferenceResult:
        """Take all pieces that are left; returns the result."""
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

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise no_copy(self)

    async def _begin(self) -> Submission:
        loop, underway, ahead = asyncio.get_running_loop(), self._underway, self._ahead
        deliver = _deliver_to(loop, underway.delivered.put_nowait)
        prepare = self._prepare

        def begin() -> tuple[Prepared, Submission]:
            prepared = prepare()
            try:
                (request,) = prepared.requests
                if isinstance(request, Exception):
                    raise request
                return prepared, Submission(prepared.session, request, deliver, ahead=ahead)
            except BaseException:
                prepared.drop()
                raise

        prepared, submission = await off_loop(begin, undo=lambda begun: begun[0].drop())
        underway.hold = prepared.hold
        if not self._open.alive:  # closed while it was prepared
            prepared.drop()
            raise StopAsyncIteration
        submit(prepared.session, [submission])
        underway.submission = submission
        if submission.deadline is not None:
            left = submission.cancel_if_late() or 0.0
            underway.timer = loop.call_later(left, submission.cancel, "timeout")
        return submission

    def _cancel(self) -> None:
        """Tell the scheduler, which stops within a step; the result is what was taken."""
        if self._open.detach() is None:
            return
        submission = self._underway.submission
        self._underway.drop()
        self._underway.stop_timer()
        if submission is not None:
            self.result = submission.result_of(self._taken)
            self._underway.delivered.put_nowait(None)  # a task that waits here goes on


class _Underway:
    """What a stream leaves behind when it is collected; it does not know the stream."""

    def __init__(self) -> None:
        self.delivered: asyncio.Queue[str | None] = asyncio.Queue()
        self.submission: Submission | None = None
        self.hold: Hold | None = None
        self.timer: asyncio.TimerHandle | None = None

    def drop(self) -> None:
        """Stop the decoding and give back what was held. Never waits, and runs on any thread."""
        if self.submission is not None:
            self.submission.cancel()
        if self.hold is not None:
            self.hold.drop()

    async def release(self) -> None:
        """The answer has ended: give back what was held, and free what is over the limits."""
        self.stop_timer()
        if self.hold is not None:
            await off_loop(self.hold.release)

    def stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


async def arun_batch(prepare: Callable[[], Prepared]) -> list[InferenceResult | Exception]:
    """`run_batch` as a coroutine; cancelling the task stops all of it.

    ``prepare`` makes the requests; it is called in a thread.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Queue[None] = asyncio.Queue()

    def count(piece: str | None) -> None:
        if piece is None:
            ended.put_nowait(None)

    deliver = _deliver_to(loop, count)

    def begin() -> tuple[Prepared, list[Submission]]:
        prepared = prepare()
        try:
            requests = answerable(prepared.requests)
            return prepared, [Submission(prepared.session, one, deliver) for one in requests]
        except BaseException:
            prepared.drop()
            raise

    prepared, submissions = await off_loop(begin, undo=lambda begun: begun[0].drop())
    timers = []
    try:
        submit(prepared.session, submissions)
        for one in submissions:
            if one.deadline is not None:
                left = one.cancel_if_late() or 0.0
                timers.append(loop.call_later(left, one.cancel, "timeout"))
        for _ in submissions:
            await ended.get()
        outcomes = in_order(prepared.requests, submissions)
    finally:
        for timer in timers:
            timer.cancel()
        for one in submissions:
            one.cancel()
        prepared.drop()
    await off_loop(prepared.release)
    return outcomes


def _deliver_to(
    loop: asyncio.AbstractEventLoop, put: Callable[[str | None], object]
) -> Callable[[str | None], None]:
    """What the scheduler calls on its thread to bring a piece to an event loop."""

    def deliver(piece: str | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(put, piece)

    return deliver

"""Several answers computed together; each of them ends on its own."""

from __future__ import annotations

import asyncio
import contextlib
import queue
from collections.abc import Callable, Iterable

from .decoding import Request
from .event_loop import call_on, limit_time, prepare_off_loop
from .off_loop import off_loop
from .results import InferenceResult
from .session import Session
from .streams import POLL
from .submissions import Deliver, Prepared, Submission

__all__ = ["arun_batch", "generate_tokens", "run_batch"]


def run_batch(prepared: Prepared) -> list[InferenceResult | Exception]:
    """Answer all requests together; each answer, or what went wrong with it, in order."""
    try:
        return prepared.outcomes(_run_together(prepared))
    finally:
        prepared.release()


def generate_tokens(session: Session, request: Request) -> list[int]:
    """The token ids of an answer, the end token included."""
    (submission,) = _run_together(Prepared(session, [request]))
    if submission.decoding.error is not None:
        raise submission.decoding.error
    return submission.decoding.tokens[len(request.prompt) :]


def _run_together(prepared: Prepared) -> list[Submission]:
    """Compute all requests to their ends, their time-outs or an exception such as Ctrl-C."""
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()
    submissions = prepared.submissions(_at_end(lambda: ended.put(None)))
    prepared.submit(submissions)
    limited = [one for one in submissions if one.deadline is not None]
    n_left = len(submissions)
    try:
        while n_left:
            seconds = (one.cancel_if_late() for one in limited)
            with contextlib.suppress(queue.Empty):
                ended.get(timeout=min([POLL, *(left for left in seconds if left is not None)]))
                n_left -= 1
    finally:
        _cancel(submissions)
    return submissions


async def arun_batch(prepare: Callable[[], Prepared]) -> list[InferenceResult | Exception]:
    """`run_batch` as a coroutine; cancelling the task stops all of it.

    ``prepare`` makes the requests; it is called in a thread.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Queue[None] = asyncio.Queue()
    deliver = _at_end(lambda: call_on(loop, ended.put_nowait, None))
    prepared, submissions = await prepare_off_loop(prepare, lambda one: one.submissions(deliver))
    timers: list[asyncio.TimerHandle] = []
    try:
        prepared.submit(submissions)
        timers += [timer for one in submissions for timer in limit_time(loop, one)]
        for _ in submissions:
            await ended.get()
        outcomes = prepared.outcomes(submissions)
    finally:
        for timer in timers:
            timer.cancel()
        _cancel(submissions)
        prepared.drop()
    await off_loop(prepared.release)
    return outcomes


def _cancel(submissions: Iterable[Submission]) -> None:
    for one in submissions:
        one.cancel()


def _at_end(tell: Callable[[], object]) -> Deliver:
    """Ignores the text, and calls ``tell`` at the end of an answer."""

    def deliver(piece: str | None) -> None:
        if piece is None:
            tell()

    return deliver

"""How an event loop asks: it waits neither for a request's preparation nor for its answer.

What takes time before an answer begins (loading, a grammar, the prompt) is done in a thread. The
scheduler's thread calls the loop with every piece.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from .off_loop import off_loop
from .submissions import Prepared, Submission

__all__ = ["call_on", "limit_time", "prepare_off_loop"]

_T = TypeVar("_T")


def call_on(loop: asyncio.AbstractEventLoop, function: Callable[[_T], object], value: _T) -> None:
    """Call ``function`` on the loop's thread, from any thread; never, if the loop was closed."""
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(function, value)


async def prepare_off_loop(
    prepare: Callable[[], Prepared], make: Callable[[Prepared], _T]
) -> tuple[Prepared, _T]:
    """Call ``prepare`` and then ``make`` in a thread; returns what both return.

    What is held is given back if ``make`` fails or the task is cancelled meanwhile.
    """

    def begin() -> tuple[Prepared, _T]:
        prepared = prepare()
        try:
            return prepared, make(prepared)
        except BaseException:
            prepared.drop()
            raise

    return await off_loop(begin, undo=lambda begun: begun[0].drop())


def limit_time(
    loop: asyncio.AbstractEventLoop, submission: Submission
) -> list[asyncio.TimerHandle]:
    """The timer that ends a request at its deadline; none without a deadline."""
    if submission.deadline is None:
        return []
    left = submission.cancel_if_late() or 0.0
    return [loop.call_later(left, submission.cancel, "timeout")]

"""How the scheduler's thread and an event loop meet: neither waits for the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from .submissions import Submission

__all__ = ["call_on", "limit_time"]

_T = TypeVar("_T")


def call_on(loop: asyncio.AbstractEventLoop, function: Callable[[_T], object], value: _T) -> None:
    """Call ``function`` on the loop's thread, from any thread; never, if the loop was closed."""
    with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
        loop.call_soon_threadsafe(function, value)


def limit_time(
    loop: asyncio.AbstractEventLoop, submission: Submission
) -> list[asyncio.TimerHandle]:
    """The timer that ends a request at its deadline; none without a deadline."""
    if submission.deadline is None:
        return []
    left = submission.cancel_if_late() or 0.0
    return [loop.call_later(left, submission.cancel, "timeout")]

"""Work that takes too long for an event loop, in threads of our own.

The loop's default executor may be full of threads that wait for the very answer that is being
prepared; these threads are for nothing but preparing requests and loading experts.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Generic, TypeVar

__all__ = ["off_loop"]

N_THREADS = 64
"""Threads at most. They are started as needed; loading an expert may occupy one for long."""

_T = TypeVar("_T")


async def off_loop(work: Callable[[], _T], undo: Callable[[_T], object] | None = None) -> _T:
    """Run ``work`` in a thread and return its result. The loop runs meanwhile.

    If the task is cancelled meanwhile, ``undo`` gets what ``work`` returned too late. It is
    called once, on either thread, even where the loop has ended by then, and must not wait.
    """
    late = _Late(undo)

    def run() -> _T:
        result = work()
        late.came(result)
        return result

    context = contextvars.copy_context()
    future = asyncio.get_running_loop().run_in_executor(_executor(), context.run, run)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(_look_at_error)
        late.leave()
        raise


class _Late(Generic[_T]):
    """Undoes a result that comes after its waiter has left, or before: the later event does it.

    Each side leaves its mark before it looks for the other's, so one of them sees both.
    """

    def __init__(self, undo: Callable[[_T], object] | None) -> None:
        self._undo = [] if undo is None else [undo]
        self._results: list[_T] = []
        self._is_left = False

    def came(self, result: _T) -> None:
        self._results.append(result)
        self._undo_if_left()

    def leave(self) -> None:
        self._is_left = True
        self._undo_if_left()

    def _undo_if_left(self) -> None:
        if self._is_left and self._results:
            with contextlib.suppress(IndexError):  # the other side does it
                self._undo.pop()(self._results[0])


def _look_at_error(done: asyncio.Future[_T]) -> None:
    """Look at an error that came too late; asyncio would log it otherwise."""
    if not done.cancelled():
        done.exception()


@cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(N_THREADS, thread_name_prefix="hivellm-lite-prepare")


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_executor.cache_clear)

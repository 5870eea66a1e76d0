"""Work that takes too long for an event loop, in threads of our own.

The loop's default executor may be full of threads that wait for the very answer that is being
prepared; these threads are for nothing but preparing requests and loading experts.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

__all__ = ["off_loop"]

N_THREADS = 64
"""Threads at most. They are made as they are needed; loading an expert may occupy one for long."""

_T = TypeVar("_T")


async def off_loop(work: Callable[[], _T], undo: Callable[[_T], object] | None = None) -> _T:
    """Run ``work`` in a thread and return what it returns, while the loop goes on.

    If the task is cancelled meanwhile, ``undo`` gets what ``work`` returned too late; it is
    called on the loop and must not wait.
    """
    context = contextvars.copy_context()
    future = asyncio.get_running_loop().run_in_executor(_executor(), context.run, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:

        def too_late(done: asyncio.Future[_T]) -> None:
            if not done.cancelled() and done.exception() is None and undo is not None:
                undo(done.result())

        future.add_done_callback(too_late)
        raise


@cache
def _executor() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(N_THREADS, thread_name_prefix="hivellm-lite-prepare")


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_executor.cache_clear)

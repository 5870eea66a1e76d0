"""Work that takes too long for an event loop, in threads of our own.

The loop's default executor may be full of threads that wait for the very answer that is being
prepared, so these threads are our own. What takes milliseconds, what takes a computation and what
takes minutes have separate threads: no request waits for a thread because an expert is loaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["LOADING", "SCORING", "Threads", "off_loop", "wait_off_loop"]

_T = TypeVar("_T")


class Threads:
    """Threads for one kind of work, started as they are needed."""

    def __init__(self, name: str, n_most: int) -> None:
        self._name = name
        self.n_most = n_most
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def submit(self, work: Callable[[], _T]) -> Future[_T]:
        """Run ``work`` in one of the threads, with the context variables of the caller."""
        with self._lock:
            if self._executor is None:
                name = f"hivellm-lite-{self._name}"
                self._executor = ThreadPoolExecutor(self.n_most, thread_name_prefix=name)
            return self._executor.submit(contextvars.copy_context().run, work)

    def _forget(self) -> None:
        """A forked child has none of its parent's threads."""
        self._executor = None
        self._lock = threading.Lock()


PREPARING = Threads("prepare", 64)
"""For what takes milliseconds, as a rule: prompts, grammars, giving back."""

LOADING = Threads("load", 8)
"""For experts, which may have to be downloaded and converted first."""

SCORING = Threads("score", 8)
"""For what waits for a whole computation."""


async def off_loop(
    work: Callable[[], _T],
    undo: Callable[[_T], object] | None = None,
    *,
    threads: Threads = PREPARING,
) -> _T:
    """Run ``work`` in a thread and return its result. The loop runs meanwhile.

    If the task is cancelled meanwhile, ``undo`` gets what ``work`` returned too late. It is
    called once, on either thread, even where the loop has ended by then, and must not wait.
    """
    late = _Late(undo)

    def run() -> _T:
        result = work()
        late.came(result)
        return result

    try:
        return await wait_off_loop(threads.submit(run))
    except asyncio.CancelledError:
        late.leave()
        raise


async def wait_off_loop(work: Future[_T]) -> _T:
    """Wait for work in a thread, which goes on if the task is cancelled meanwhile."""
    future = asyncio.wrap_future(work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        future.add_done_callback(_look_at_error)
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

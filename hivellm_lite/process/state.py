"""What all sessions of a process share: two locks, and what a fork and the program's end do.

`bookkeeping` guards the tables of models, sessions and experts. It is held for microseconds,
never while anything is loaded, freed, computed or waited for. `computing` is held while
llama.cpp computes one step: its threads spin, and two models that compute beside each other on
the same cores are many times slower than one after the other. A thread that computes never
takes `bookkeeping`.

A fork waits until no step runs and the tables are whole, so a forked child works with what it
inherits. The parent's other threads do not exist in the child, so every registered `Forkable`
forgets what they were doing.

At the program's end the threads that compute are stopped before anything native is freed.
Python runs exit handlers last-registered first, so this one runs before those of `weakref`,
which free models and contexts.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from ..errors import InferenceError

__all__ = [
    "Endable",
    "Forkable",
    "bookkeeping",
    "calling_native",
    "check_running",
    "computing",
    "computing_thread",
    "forget_on_fork",
    "give_way_to_forks",
    "loading",
    "no_copy",
    "on_computing_thread",
    "stop_at_exit",
]

END_TIMEOUT = 30.0
"""Seconds that the end of the program waits for native code to return. A step on a CPU is
interrupted within milliseconds; other devices finish the step that they were given."""

bookkeeping = threading.RLock()
computing = threading.RLock()
_this_thread = threading.local()
_ended = False
_at_exit = False
_n_calling = 0
_n_loading = 0


class Forkable(Protocol):
    """Something whose state depends on threads."""

    def forget_other_threads(self) -> None:
        """Called in a forked child, on its only thread, with all locks held."""


class Lock(Protocol):
    """What `threading.RLock` returns."""

    def acquire(self) -> bool: ...

    def release(self) -> None: ...


class Endable(Protocol):
    """Something with a thread that calls native code."""

    def stop(self) -> None:
        """Ask the thread to end; does not wait."""

    def join(self, timeout: float) -> bool:
        """Wait for the thread; whether it has ended."""


_forkables: weakref.WeakKeyDictionary[Forkable, Lock | None] = weakref.WeakKeyDictionary()
_held: list[tuple[Forkable, Lock | None]] = []
_forking = threading.RLock()
_n_forking = 0
_endables: weakref.WeakSet[Endable] = weakref.WeakSet()


def forget_on_fork(one: Forkable, changing: Lock | None = None) -> None:
    """Call ``one.forget_other_threads()`` in every forked child, as long as ``one`` lives.

    ``changing`` is a lock that is held while ``one`` changes: a fork waits for it. What has none
    changes under `bookkeeping`.
    """
    with bookkeeping:
        _forkables[one] = changing


def stop_at_exit(one: Endable) -> None:
    """Stop and join ``one`` when the program ends, as long as ``one`` lives."""
    with bookkeeping:
        _endables.add(one)
        _look_for_the_end()


def _look_for_the_end() -> None:
    global _at_exit
    if not _at_exit:
        weakref.finalize(_forking, bool)  # its exit handler is registered now, before ours
        _at_exit = True
        atexit.register(_end)


def check_running() -> None:
    """Raises InferenceError once the program ends: no thread can be started any more."""
    if _ended:
        raise InferenceError("the program is ending, so nothing can be computed any more")


@contextmanager
def calling_native() -> Iterator[bool]:
    """Mark that a user's thread calls native code. The program's end waits for it before it frees
    anything. Yields False once the program ends: then nothing native may be called.
    """
    global _n_calling
    with bookkeeping:
        allowed = not _ended
        _n_calling += allowed
        _look_for_the_end()
    try:
        yield allowed
    finally:
        with bookkeeping:
            _n_calling -= allowed


@contextmanager
def loading() -> Iterator[None]:
    """Mark that native code loads something on this thread. Forks wait for it, because native
    libraries have locks that a forked child could never release.

    Raises InferenceError once the program ends.
    """
    global _n_loading
    mine = getattr(_this_thread, "n_loading", 0)
    while True:
        with bookkeeping:
            if mine or not _n_forking:
                _n_loading += 1
                break
        give_way_to_forks()
    _this_thread.n_loading = mine + 1
    try:
        with calling_native():
            check_running()
            yield
    finally:
        _this_thread.n_loading = mine
        with bookkeeping:
            _n_loading -= 1


@contextmanager
def computing_thread() -> Iterator[None]:
    """Mark the current thread as one that computes."""
    _this_thread.computes = True
    try:
        yield
    finally:
        _this_thread.computes = False


def on_computing_thread() -> bool:
    """Whether this is a thread that computes, where the garbage collector may run finalizers.

    Code there must not wait for an answer, which this very thread would have to compute.
    """
    return bool(getattr(_this_thread, "computes", False))


def _end() -> None:
    global _ended
    with bookkeeping:
        _ended = True
    until = time.monotonic() + END_TIMEOUT
    ending = list(_endables)
    for one in ending:
        one.stop()
    for one in ending:
        one.join(max(0.0, until - time.monotonic()))
    while _n_calling > 0 and time.monotonic() < until:
        time.sleep(0.01)


def no_copy(one: object) -> TypeError:
    """The error of copying or pickling ``one``, which has threads and native memory."""
    kind = type(one).__name__
    return TypeError(
        f"cannot copy or pickle this {kind}: it holds a model in this process's memory\n"
        "Share the object between threads; in another process, load the expert there."
    )


def give_way_to_forks() -> None:
    """Wait while a thread is about to fork. A loop of steps calls this between two steps."""
    while _n_forking:
        time.sleep(0.001)


def _before_fork() -> None:
    global _n_forking
    with bookkeeping:
        _n_forking += 1
    _forking.acquire()  # two forks would wait for each other's locks
    while _n_loading > getattr(_this_thread, "n_loading", 0):
        time.sleep(0.001)
    _held[:] = list(_forkables.items())
    for _, changing in _held:
        if changing is not None:
            changing.acquire()
    bookkeeping.acquire()


def _after_fork() -> None:
    global _n_forking
    _n_forking -= 1
    bookkeeping.release()
    for _, changing in _held:
        if changing is not None:
            changing.release()
    _held.clear()
    _forking.release()


def _after_fork_in_child() -> None:
    global _n_calling, _n_loading, _n_forking
    _n_calling, _n_loading, _n_forking = 0, 0, 1
    for one, _ in _held:
        one.forget_other_threads()
    _after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork,
        after_in_child=_after_fork_in_child,
    )

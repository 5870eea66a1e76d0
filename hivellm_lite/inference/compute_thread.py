"""The life of a thread that computes: it sleeps without work, and takes tasks between two steps.

Other threads reach the thread only through an inbox of tasks. Putting a task there is atomic and
waits for nothing, so finalizers and signal handlers may do it on any thread, even on this one. The
thread is a daemon, so the interpreter does not wait for it. The end of the program stops it
(`process.state`). What it computed with is freed on it, after its last step.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from ..errors import InferenceError
from ..process.state import (
    bookkeeping,
    calling_native,
    check_running,
    computing_thread,
    give_way_to_forks,
    on_computing_thread,
    stop_at_exit,
)

__all__ = ["LINGER", "ComputeThread", "Worker"]

logger = logging.getLogger("hivellm_lite")

LINGER = 2.0
"""Seconds after which an idle thread returns free memory to the system. The next swap, which
needs it again, is some milliseconds slower.
"""

Task = Callable[[], object]
_T = TypeVar("_T")


class Worker(Protocol):
    """What the thread computes. All of it is called on the thread, but for `interrupt`."""

    def has_work(self) -> bool:
        """Whether `step` has something to do."""

    def step(self) -> None:
        """Compute a little."""

    def fail_all(self, error: BaseException) -> None:
        """End all work with an error."""

    def interrupt(self) -> None:
        """Make a step that runs return soon; called on any thread."""


class ComputeThread:
    """See the module's docstring."""

    def __init__(self, worker: Worker, closed: str) -> None:
        """``closed``: what an InferenceError says after `close`."""
        self._worker = worker
        self.stepping = threading.RLock()
        """Held while a step or a task runs."""
        self._closed_reason = closed
        self._inbox: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._last: Task | None = None
        self._stopping = False
        stop_at_exit(self)

    @property
    def stopping(self) -> bool:
        """Whether the thread was asked to end."""
        return self._stopping or self._last is not None

    # --- from any thread -------------------------------------------------------------

    def post(self, task: Task) -> None:
        """Run ``task`` on the thread between two steps, when it runs. Never waits."""
        self._inbox.put(task)

    def wake(self) -> None:
        """Look again whether there is work. Never waits."""
        self._inbox.put(_nothing)

    def submit(self, task: Task) -> None:
        """Run ``task`` on the thread between two steps; does not wait for it.

        Raises InferenceError after `close`, at the program's end, and on a thread that computes,
        which must not wait for its own work.
        """
        if on_computing_thread():
            raise InferenceError(
                "this code runs on the thread that computes (as a finalizer, for example), "
                "so it cannot wait for an answer\nAsk on another thread."
            )
        # under the lock, so that a thread that ends finds the task when it looks for the last time
        with bookkeeping:
            if self._last is not None:
                raise InferenceError(self._closed_reason)
            check_running()
            if self._thread is None:
                self._start()
            self.post(task)

    def _start(self) -> None:
        # set before the start: a signal handler on this thread may ask meanwhile
        self._thread = threading.Thread(target=self._run, name="hivellm-lite", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # the program ends, or has too many threads
            self._thread = None
            raise InferenceError(f"cannot start the thread that computes: {error}") from None

    def call(self, function: Callable[[], _T]) -> _T:
        """Run ``function`` on the thread, between two steps, and return what it returns.

        Raises what it raises, and what `submit` raises.
        """
        future: Future[_T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self.submit(run)
        return future.result()

    def do(self, task: Task) -> None:
        """Run ``task`` between two steps, or on the caller's thread if this one does not run.

        Waits for the task, unless the caller's thread computes.
        """
        done = threading.Event()

        def run() -> None:
            try:
                task()
            finally:
                done.set()

        with bookkeeping:
            thread = self._thread
        if thread is None or not thread.is_alive():
            with calling_native() as allowed:  # what the end of the program frees, it frees
                if allowed:
                    self._do(task)
            return
        self.post(run)
        if on_computing_thread():
            return
        while not done.wait(1.0):
            if not thread.is_alive():  # it ended before it came to the task
                self._finish_here()
                return

    def close(self, last: Task) -> None:
        """End all work, then run ``last``, which frees what was computed with.

        Waits for that unless this is a thread that computes. Does nothing the second time.
        """
        with bookkeeping:
            if self._last is not None:
                return
            self._last = last
            thread = self._thread
        if thread is None or not thread.is_alive():
            self._finish_here()
            return
        self.stop()
        if not on_computing_thread():
            thread.join()

    def stop(self) -> None:
        """Ask the thread to end after the step that runs. Does not wait."""
        self._stopping = True
        self._worker.interrupt()
        self.wake()

    def join(self, timeout: float) -> bool:
        """Wait for the thread, in seconds; whether it has ended."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def forget_other_threads(self, reason: str | None) -> None:
        """In a forked child there is no thread, and nobody has asked for anything.

        With a ``reason``, every later request fails with it, and nothing is freed.
        """
        self._thread = None
        self._inbox = queue.SimpleQueue()
        if reason is not None:
            self._closed_reason, self._last = reason, _nothing

    # --- on the thread ---------------------------------------------------------------

    def _run(self) -> None:
        with computing_thread():
            while True:
                self._receive()
                if self._stopping:
                    break
                give_way_to_forks()
                try:
                    with self.stepping:
                        self._worker.step()
                except BaseException as error:  # a defect ends what was asked, not the thread
                    logger.exception("an unexpected error while computing")
                    self._worker.fail_all(error)
            self._finish()

    def _receive(self) -> None:
        """Run all tasks; wait for a task if there is nothing to compute."""
        patience: float | None = LINGER
        while True:
            with contextlib.suppress(queue.Empty):
                while True:
                    self._do(self._inbox.get_nowait())
            if self._stopping or self._worker.has_work():
                return
            try:
                self._do(self._inbox.get(timeout=patience))
            except queue.Empty:
                from ..engine import return_free_memory  # loads llama.cpp

                return_free_memory()
                patience = None

    def _finish(self) -> None:
        """End all work; free what was computed with if the thread was closed."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._do(self._inbox.get_nowait())
        self._worker.fail_all(InferenceError(self._closed_reason))
        if self._last is not None:
            self._do(self._last)

    def _finish_here(self) -> None:
        """`_finish` on another thread, since the thread that computes does not run."""
        with calling_native() as allowed:
            if allowed:
                self._finish()

    def _do(self, task: Task) -> None:
        try:
            with self.stepping:
                task()
        except BaseException:  # tasks hand their errors over; what comes here is a defect
            logger.exception("an unexpected error between two steps")


def _nothing() -> None:
    pass

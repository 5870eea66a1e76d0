"""Python work beside native work that does not need Python."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

__all__ = ["meanwhile"]


@contextlib.contextmanager
def meanwhile(work: Callable[[], object] | None) -> Iterator[None]:
    """Call ``work``, if any, on another thread while the body runs. The thread ends with the body.

    For work that only saves time later, such as an import: whatever it raises is dropped, and
    raised again where the work is needed. Inside `state.loading` no fork happens meanwhile.
    """
    if work is None:
        yield
        return
    thread = threading.Thread(target=_dropping_errors, args=(work,), name="meanwhile", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no more threads are allowed
        yield
        return
    try:
        yield
    finally:
        thread.join()


def _dropping_errors(work: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):
        work()

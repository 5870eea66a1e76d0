"""Downloads into a file that grows: what has arrived is kept when a connection breaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from .connection import Hub
from .failures import is_transient, transport_errors

__all__ = ["append_body", "resume", "size_of"]


def resume(
    hub: Hub,
    partial: Path,
    request: Callable[[int], None],
    explain: Callable[[Exception], Exception],
) -> None:
    """Call ``request(start)``, which appends to ``partial`` from that byte on, until it succeeds.

    It is called again after a failure that may pass. ``explain`` turns the last one into what is
    raised.
    """
    failures = 0
    while True:
        start = size_of(partial)
        try:
            request(start)
        except transport_errors() as error:
            failures = 1 if size_of(partial) > start else failures + 1
            if failures > hub.retries or not is_transient(error, connecting=True):
                raise explain(error) from error
            hub.pause(failures)
        else:
            return


def append_body(
    chunks: Iterable[bytes], partial: Path, start: int, limit: int, report: Callable[[int], None]
) -> None:
    """Write the body of an answer from byte ``start`` on, at most one chunk more than ``limit``.

    ``report`` is told how many bytes the file has.
    """
    done = start
    with partial.open("ab" if start else "wb") as out:
        report(min(done, limit))
        for chunk in chunks:
            out.write(chunk)
            done += len(chunk)
            report(min(done, limit))
            if done > limit:
                return


def size_of(path: Path) -> int:
    """The bytes of a file; 0 if there is none."""
    return path.stat().st_size if path.exists() else 0

"""A terminal of our own, and the tool run in it without a process of its own."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import IO

__all__ = ["shown_on_terminal"]

STREAMS = ("stdin", "stdout", "stderr")


def shown_on_terminal(*arguments: object) -> bytes:
    """All that the tool sends to a terminal that is its stdin, stdout and stderr.

    The tool runs in this process, in a tenth of the time that a program takes to begin. What
    llama.cpp writes to the descriptors is shown, too.
    """
    import pty  # not on Windows

    from hivellm_lite.cli import main

    ours, theirs = pty.openpty()
    seen: list[bytes] = []
    reader = threading.Thread(target=_read, args=(ours, seen))
    reader.start()
    try:
        with _standard_streams(theirs), contextlib.suppress(SystemExit):
            main([str(argument) for argument in arguments])
    finally:
        reader.join()
        os.close(ours)
    assert seen, "the tool showed nothing"
    return b"".join(seen)


def _read(terminal: int, seen: list[bytes]) -> None:
    """Until the other end is closed, which Linux tells as an error."""
    with contextlib.suppress(OSError):
        while data := os.read(terminal, 65536):
            seen.append(data)


@contextlib.contextmanager
def _standard_streams(terminal: int) -> Iterator[None]:
    """Let ``terminal``, which is closed in the end, be the three standard streams."""
    kept = [(os.dup(number), getattr(sys, name)) for number, name in enumerate(STREAMS)]
    for number in range(len(STREAMS)):
        os.dup2(terminal, number)
    os.close(terminal)
    streams = [_stream(number) for number in range(len(STREAMS))]
    for name, stream in zip(STREAMS, streams, strict=True):
        setattr(sys, name, stream)
    try:
        yield
    finally:
        for number, (descriptor, stream) in enumerate(kept):
            streams[number].close()
            setattr(sys, STREAMS[number], stream)
            os.dup2(descriptor, number)
            os.close(descriptor)


def _stream(number: int) -> IO[str]:
    """As Python opens it when a program begins."""
    errors = "backslashreplace" if number == 2 else "strict"
    mode = "w" if number else "r"
    return open(number, mode, encoding="utf-8", errors=errors, closefd=False)

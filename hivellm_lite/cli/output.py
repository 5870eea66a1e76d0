"""Everything that the tool prints passes through this module.

Programs read answers and grammars, so these go to a pipe or a file byte for byte. On their way
to a terminal, characters that a terminal would obey are escaped. All other text may contain what
strangers wrote and is escaped wherever it goes. JSON is the same everywhere, with escapes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterable
from typing import IO, Any

import click

from ..terminal_text import MAX_LINES, bounded, json_text, one_line, printable
from .failures import advice_for
from .option_names import as_options

__all__ = [
    "ReaderGone",
    "discard",
    "discard_unwritten",
    "finish",
    "print_answer",
    "print_bold",
    "print_json",
    "print_line",
    "print_marked",
    "say",
    "say_error",
    "say_line",
    "show",
    "write_output",
]


class ReaderGone(Exception):
    """The program that read our output has ended (``| head``)."""


def print_answer(text: str) -> None:
    """An answer, a piece of one, or a grammar: exact unless stdout is a terminal."""
    _write(printable(text) if _is_terminal(sys.stdout) else text)


def print_line(text: str, *, limit: int = 4_000) -> None:
    """One line on stdout; a line break in ``text`` is shown as an escape."""
    _write(f"{one_line(text, limit)}\n")


def print_bold(text: str) -> None:
    """A line of our own words that stands out on a terminal."""
    _write(f"\x1b[1m{one_line(text)}\x1b[0m\n" if _is_terminal(sys.stdout) else f"{text}\n")


def print_marked(parts: Iterable[tuple[str, bool]], indent: str) -> None:
    """A text of several lines, each after ``indent``. Parts that are marked stand out: in reverse
    on a terminal, and between brackets elsewhere. The end of a line is shown as ↵.
    """
    begin, end = ("\x1b[7m", "\x1b[0m") if _is_terminal(sys.stdout) else ("⟦", "⟧")
    text = "".join(
        f"{begin}{_shown_breaks(part)}{end}" if marked else _shown_breaks(part)
        for part, marked in parts
    )
    _write("".join(f"{indent}{line}\n" for line in text.removesuffix("\n").split("\n")))


def _shown_breaks(text: str) -> str:
    return "↵\n".join(one_line(line, len(line)) for line in text.split("\n"))


def print_json(value: Any) -> None:
    """JSON on stdout, in ASCII where stdout has another encoding than Unicode's."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    _write(f"{json_text(value, indent=2, ascii_only=not encoding.startswith('utf'))}\n")


def say(text: str, *, nl: bool = True, max_lines: int = MAX_LINES) -> None:
    """Write a message to stderr. A closed stderr is not an error."""
    _to_stderr(bounded(text, max_lines=max_lines) + "\n" * nl)


def say_line(text: str) -> None:
    """Write a message of one line, whatever characters its names and reasons have."""
    _to_stderr(one_line(text, 2_000) + "\n")


def show(text: str) -> None:
    """Write a text that the user asked to see, unshortened, to stderr."""
    _to_stderr(printable(text) + "\n")


def say_error(text: str) -> None:
    """An error, with the options of the library under their names on the command line."""
    _to_stderr(bounded(f"Error: {as_options(text)}") + "\n")


def write_output(sink: IO[bytes], data: bytes, name: str) -> None:
    """Write and flush. Raises ReaderGone, or ClickException that names the file."""
    try:
        sink.write(data)
        sink.flush()
    except (OSError, ValueError) as error:
        if _reader_is_gone(error):
            raise ReaderGone from None
        discard(sink)  # or closing it would fail once more
        raise _failed(name, error) from None


def finish() -> None:
    """Flush stdout. Raises as `write_output` does; the interpreter would only complain."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError) as error:
        if _reader_is_gone(error):
            raise ReaderGone from None
        raise _failed("standard output", error) from None


def discard_unwritten() -> None:
    """Drop what stdout cannot take, so that the interpreter does not complain at its end."""
    try:
        finish()
    except (ReaderGone, click.ClickException):
        discard(sys.stdout)


def discard(stream: Any) -> None:
    """Drop what is still in the buffer of ``stream`` and cannot be written."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


_warned = False


def _write(text: str) -> None:
    stream = sys.stdout
    if stream is None:
        raise click.ClickException("standard output is closed")
    try:
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            _warn_of(encoding)
        stream.flush()
    except (OSError, ValueError) as error:
        if _reader_is_gone(error):
            raise ReaderGone from None
        raise _failed("standard output", error) from None


def _reader_is_gone(error: Exception) -> bool:
    """Whether nobody reads the pipe any more, which Windows calls an invalid argument."""
    if isinstance(error, BrokenPipeError):
        return True
    return os.name == "nt" and isinstance(error, OSError) and error.errno == errno.EINVAL


def _warn_of(encoding: str) -> None:
    global _warned
    if not _warned:
        _warned = True
        say(
            f"Warning: standard output is {encoding}; characters that it lacks are written as "
            "escapes such as \\u20ac\nPYTHONIOENCODING=utf-8 writes them as they are."
        )


def _failed(name: str, error: Exception) -> click.ClickException:
    reason = getattr(error, "strerror", None) or error
    advice = advice_for(error)
    return click.ClickException(f"cannot write to {name}: {reason}\n{advice}".rstrip())


def _to_stderr(text: str) -> None:
    stream = sys.stderr
    if stream is None:
        return
    try:
        stream.write(text)
        stream.flush()
    except UnicodeEncodeError:
        with contextlib.suppress(OSError, ValueError):
            stream.write(text.encode("ascii", "backslashreplace").decode())
    except (OSError, ValueError):
        discard(stream)


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        return False

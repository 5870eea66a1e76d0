"""Text that the tool reads: files, standard input and arguments, all of it UTF-8."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path

import click

__all__ = [
    "UnreadableLine",
    "decoded",
    "prompt_text",
    "read_line",
    "read_text",
    "refuse_other_encoding",
]

STDIN = "standard input"

_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
"""The first is a longer form of the third, so their order matters."""


def _other_encoding(beginning: bytes) -> str | None:
    """``UTF-16`` or ``UTF-32`` where a text begins as one of them, with or without a mark."""
    for mark, name in _MARKS:
        if beginning.startswith(mark):
            return name
    zeros = [byte == 0 for byte in beginning[:4]]
    if zeros[:2] in ([True, False], [False, True]):
        return "UTF-32" if zeros in ([False, True, True, True],) else "UTF-16"
    return "UTF-32" if zeros == [True, True, True, False] else None


def refuse_other_encoding(beginning: bytes, name: str) -> None:
    """Raise UsageError that says how to make UTF-8 of it, where ``name`` is something else."""
    if (encoding := _other_encoding(beginning)) is not None:
        raise click.UsageError(
            f"{name} is {encoding} text; UTF-8 is expected\n"
            f"Convert it first: 'iconv -f {encoding} -t UTF-8', or in PowerShell "
            "'Get-Content IN | Set-Content -Encoding utf8 OUT'."
        )


def decoded(data: bytes, name: str) -> str:
    """The text without a byte order mark. Raises UsageError that names file, line and byte."""
    refuse_other_encoding(data[:4], name)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise click.UsageError(
            f"{name}: not UTF-8 text: byte 0x{error.object[error.start]:02x} in line {line}\n"
            "Save it as UTF-8."
        ) from None


def read_text(name: str, *, exact: bool = False) -> str:
    r"""The text of a file, or of stdin for ``-``, with ``\n`` at every line's end unless ``exact``.

    Raises UsageError for what cannot be read.
    """
    text = _standard_input() if name == "-" else _file(name)
    return text if exact else text.replace("\r\n", "\n").replace("\r", "\n")


def _file(name: str) -> str:
    try:
        data = Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise click.UsageError(f"{name}: {reason}") from None
    return decoded(data, name)


def prompt_text(argument: str) -> str:
    """A prompt given as argument, or stdin for ``-``."""
    if argument == "-":
        return read_text("-")
    try:
        argument.encode("utf-8")
    except UnicodeEncodeError:
        raise click.UsageError("PROMPT is not UTF-8 text") from None
    return argument


class UnreadableLine(ValueError):
    """A line of stdin that is no text in its encoding. The next one can be read."""


def read_line() -> str | None:
    """The next line of stdin without its end; None at the end.

    Raises UnreadableLine, and UsageError where stdin is UTF-16 or UTF-32 as a whole.
    """
    buffer = getattr(sys.stdin, "buffer", None)
    if buffer is None:  # a stream of text, as in a program that embeds the tool
        line = sys.stdin.readline()
        return line.rstrip("\r\n") if line else None
    data: bytes = buffer.readline()
    if not data:
        return None
    refuse_other_encoding(data[:4], STDIN)
    encoding = _stdin_encoding()
    try:
        return data.decode(encoding).rstrip("\r\n")
    except UnicodeDecodeError as error:
        name = "UTF-8" if encoding == "utf-8-sig" else encoding
        raise UnreadableLine(
            f"not {name} text: byte 0x{data[error.start]:02x} at position {error.start}"
        ) from None


def _standard_input() -> str:
    if sys.stdin is None:
        raise click.UsageError("standard input is closed")
    buffer = getattr(sys.stdin, "buffer", None)
    try:
        if buffer is None:
            return sys.stdin.read()
        data: bytes = buffer.read()
    except OSError as error:
        raise click.UsageError(f"{STDIN}: {error.strerror or error}") from None
    encoding = _stdin_encoding()
    if encoding == "utf-8-sig":
        return decoded(data, STDIN)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        raise click.UsageError(f"{STDIN}: not {encoding} text") from None


def _stdin_encoding() -> str:
    """UTF-8, unless PYTHONIOENCODING or a code page says what else; ASCII is a part of it."""
    encoding = (getattr(sys.stdin, "encoding", None) or "utf-8").lower().replace("_", "-")
    is_utf8 = encoding in ("utf-8", "utf8", "ascii", "us-ascii", "ansi-x3.4-1968")
    return "utf-8-sig" if is_utf8 else encoding

"""Text that knows where each of its characters comes from.

A chat template mixes its own text, in which names of control tokens count, with a user's
text, in which they must not. Every piece of a conversation enters the template as
`MarkedText`, and every operation of the template keeps the marks. If an operation cannot
keep them, its whole result is marked as the user's. A control token may get lost that way,
but a user's text never becomes one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from typing import SupportsIndex

__all__ = [
    "Mark",
    "MarkedText",
    "Origin",
    "SafeText",
    "cut",
    "is_mixed",
    "join",
    "like",
    "mapped",
    "mark",
    "marks_of",
    "pieces_of",
    "recased",
    "repeated",
    "safe",
    "split_at",
    "stripped",
]

Origin = int | str | None
"""Where characters come from: the index of a message, or the name of another part of the request,
such as ``tools``; None for the template's own text."""

Mark = tuple[int, Origin]
"""A number of characters and their origin."""


class MarkedText(str):
    """A string with ``runs``: the end of each run, and its origin.

    Only the functions of this module keep the marks. The methods of `str` return plain text,
    so no code may call them on a marked text and treat the result as the template's own.
    """

    __slots__ = ("runs",)
    runs: tuple[Mark, ...]

    def __str__(self) -> str:
        return self

    def __iter__(self) -> Iterator[str]:
        return (cut(self, i, i + 1) for i in range(len(self)))

    def __getitem__(self, key: SupportsIndex | slice) -> str:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return cut(self, start, stop)
            return join(cut(self, i, i + 1) for i in range(start, stop, step))
        place = range(len(self))[key]  # raises IndexError, and takes negative ones
        return cut(self, place, place + 1)


class SafeText(MarkedText):
    """The result of the filters ``safe`` and ``escape``: a text that is added to it with ``+`` is
    escaped for HTML, as Jinja does even where it escapes nothing else.
    """

    __slots__ = ()


def safe(text: str) -> str:
    """``text`` as the filter ``safe`` gives it."""
    result = SafeText(text)
    result.runs = tuple(_runs_of(marks_of(text)))
    return result


def mark(text: str, origin: Origin) -> str:
    """``text`` marked as coming from ``origin``."""
    if origin is None or not text:
        return str.__str__(text)
    return _with_marks(text, ((len(text), origin),))


def marks_of(text: str) -> list[Mark]:
    """Lengths and origins of the runs, from the beginning of the text to its end."""
    if not isinstance(text, MarkedText):
        return [(len(text), None)] if text else []
    begins = (0, *(end for end, _ in text.runs))
    return [(end - begin, origin) for (end, origin), begin in zip(text.runs, begins, strict=False)]


def is_mixed(text: str) -> bool:
    """Whether the text holds both the template's and a user's characters."""
    if not isinstance(text, MarkedText) or len(text.runs) < 2:
        return False
    return len({origin is None for _, origin in text.runs}) == 2


def _runs_of(marks: Iterable[Mark]) -> list[Mark]:
    runs: list[Mark] = []
    end = 0
    for length, origin in marks:
        if length:
            end += length
            if runs and runs[-1][1] == origin:
                runs.pop()
            runs.append((end, origin))
    return runs


def _with_marks(text: str, marks: Iterable[Mark]) -> str:
    runs = _runs_of(marks)
    if all(origin is None for _, origin in runs):
        return str.__str__(text)
    result = MarkedText(text)
    result.runs = tuple(runs)
    return result


def join(parts: Iterable[str], between: str = "") -> str:
    """``between.join(parts)``."""
    pieces: list[str] = []
    for part in parts:
        if pieces and between:
            pieces.append(between)
        pieces.append(part)
    text = "".join(pieces)
    if not any(isinstance(piece, MarkedText) for piece in pieces):
        return text
    return _with_marks(text, (one for piece in pieces for one in marks_of(piece)))


def cut(text: str, start: int, stop: int) -> str:
    """``text[start:stop]``, with 0 ≤ start and stop ≤ the length of the text."""
    piece = str.__getitem__(text, slice(start, stop))
    if not isinstance(text, MarkedText):
        return piece
    marks: list[Mark] = []
    place = start
    run = bisect_right(text.runs, start, key=itemgetter(0))
    while place < stop and run < len(text.runs):
        end, origin = text.runs[run]
        marks.append((min(end, stop) - place, origin))
        place, run = end, run + 1
    return _with_marks(piece, marks)


def stripped(
    text: str, characters: str | None = None, *, left: bool = True, right: bool = True
) -> str:
    """``text.strip(characters)``, or `lstrip` or `rstrip` alone."""
    start = len(text) - len(str.lstrip(text, characters)) if left else 0
    stop = len(str.rstrip(text, characters)) if right else len(text)
    return cut(text, start, max(start, stop))


def pieces_of(text: str, pieces: Iterable[str]) -> list[str]:
    """``pieces`` with their marks; ``text`` contains them one after the other."""
    found: list[str] = []
    place = 0
    for piece in pieces:
        place = str.index(text, piece, place)
        found.append(cut(text, place, place + len(piece)))
        place += len(piece)
    return found


def repeated(text: str, times: int) -> str:
    """``text * times``."""
    if isinstance(text, MarkedText):
        return _with_marks(str.__str__(text) * times, marks_of(text) * times)
    return text * times


def split_at(text: str, separator: str, count: int = -1) -> list[str]:
    """``text.split(separator, count)``."""
    parts: list[str] = []
    place = 0
    for piece in str.split(text, separator, count):
        parts.append(cut(text, place, place + len(piece)))
        place += len(piece) + len(separator)
    return parts


def mapped(text: str, change: Callable[[str], str]) -> str:
    """``change(text)``, for a function that changes every character by itself."""
    pieces = []
    place = 0
    for length, origin in marks_of(text):
        piece = str.__getitem__(text, slice(place, place + length))
        pieces.append(mark(change(piece), origin))
        place += length
    return join(pieces)


def recased(text: str, change: Callable[[str], str]) -> str:
    """``change(text)``, for a function that changes characters in place."""
    changed = change(str.__str__(text))
    if len(changed) == len(text):
        return _with_marks(changed, marks_of(text))
    return like(changed, (text,))


def like(text: str, sources: Iterable[object]) -> str:
    """``text`` marked as the first user's text among the ``sources`` that it was made of."""
    if isinstance(text, MarkedText):
        return text
    runs = (run for source in sources if isinstance(source, MarkedText) for run in source.runs)
    return mark(text, next((origin for _, origin in runs if origin is not None), None))

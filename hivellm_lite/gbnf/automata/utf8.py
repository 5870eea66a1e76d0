"""Turns ranges of characters into ranges of bytes.

A range of code points is cut where the length of the encoding changes, and where a continuation
byte does not run through its whole range. This gives a few sequences in which every byte is free
within its own range: ``[à-ÿ]`` is ``C3 A0-BF``, and all of Unicode is nine such sequences.

Source: Unicode 15, table 3-7. Russ Cox's RE2 cuts ranges in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

__all__ = ["ByteRange", "byte_sequences"]

ByteRange = tuple[int, int]
"""(first, last) byte, both included."""

_LAST_OF_LENGTH = (0x7F, 0x7FF, 0xFFFF)
"""The last code points that take one, two and three bytes."""


def byte_sequences(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[ByteRange, ...]]:
    """The encodings of the code points in ``ranges``, as byte ranges, without surrogates."""
    pending = list(ranges)
    while pending:
        first, last = pending.pop()
        cut = _cut(first, last)
        if cut is None:
            yield tuple(zip(chr(first).encode(), chr(last).encode(), strict=True))
        else:
            pending += [(first, cut), (cut + 1, last)]


def _cut(first: int, last: int) -> int | None:
    """The end of the first part of a range; None if the whole range is one sequence."""
    for limit in _LAST_OF_LENGTH:
        if first <= limit < last:
            return limit
    if last <= 0x7F:
        return None
    for bits in (6, 12, 18):
        low = (1 << bits) - 1
        if first | low < last:
            if first & low:
                return first | low
            if last & low != low:
                return (last & ~low) - 1
    return None

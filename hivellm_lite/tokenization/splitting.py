"""Splits a text before byte-level BPE, in time proportional to its length."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator

from .character_classes import collapse, compile_for_collapsed, compile_for_text
from .expressions import EXPRESSIONS, GROUPS_OF_DIGITS

__all__ = ["splitter_for"]

Spans = Iterator[tuple[int, int]]
"""Begin and end of pieces in a text."""

_Step = Callable[[str, str, int, int], Spans]
"""(text, collapsed text, begin, end) → the pieces between."""


def splitter_for(name: str) -> Callable[[str], list[str]]:
    """A function that splits a text as llama.cpp's pre-tokenizer ``name`` should.

    Raises KeyError for a name that is not in `EXPRESSIONS`.
    """
    return functools.partial(_split, _steps(name))


def _split(steps: tuple[_Step, ...], text: str) -> list[str]:
    collapsed = collapse(text)
    spans = [(0, len(text))] if text else []
    for step in steps:
        spans = [piece for begin, end in spans for piece in step(text, collapsed, begin, end)]
    return [text[begin:end] for begin, end in spans]


@functools.cache
def _steps(name: str) -> tuple[_Step, ...]:
    return tuple(
        _groups_of_digits if expression == GROUPS_OF_DIGITS else _step(expression)
        for expression in EXPRESSIONS[name]
    )


def _step(expression: str) -> _Step:
    if r"\p" in expression:
        pattern = compile_for_collapsed(expression)
        return lambda _, collapsed, begin, end: _isolated(pattern, collapsed, begin, end)
    pattern = compile_for_text(expression)
    return lambda text, _, begin, end: _isolated(pattern, text, begin, end)


def _isolated(pattern: re.Pattern[str], subject: str, begin: int, end: int) -> Spans:
    """The matches of ``pattern``, and the pieces between them."""
    for match in pattern.finditer(subject, begin, end):
        start, stop = match.span()
        if start > begin:
            yield begin, start
        if stop > start:
            yield start, stop
        begin = stop
    if begin < end:
        yield begin, end


_DIGITS = compile_for_collapsed(r"\p{N}+")


def _groups_of_digits(_: str, collapsed: str, begin: int, end: int) -> Spans:
    for start, stop in _isolated(_DIGITS, collapsed, begin, end):
        if _DIGITS.match(collapsed, start, stop):
            first = start + ((stop - start) % 3 or 3)
            yield start, first
            yield from ((place, place + 3) for place in range(first, stop, 3))
        else:
            yield start, stop

"""Combines the constraints of a shape of strings into one automaton, and tests membership.

The patterns of a shape are read narrowly, and the patterns of strings that it leaves out are read
widely. So the written strings are valid in every dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from ...gbnf.earley import recognise
from ...gbnf.syntax import Grammar
from ..shapes import String, Values
from .automata import (
    MAX_PRODUCT,
    NO_TEXT,
    TextAutomaton,
    TooLargeError,
    counting,
    products,
    texts_of,
)
from .formats import FORMATS, LOOSE_FORMATS, LOOSE_MAXIMUM, WHOLE_FORMATS, WIDE_FORMATS
from .pattern_automata import pattern_automaton
from .patterns import UnsupportedPattern, parse_pattern

__all__ = [
    "UnwritableError",
    "any_text",
    "automaton_of",
    "check_pattern",
    "in_string",
    "may_be_in_string",
    "pattern_matches",
    "string_automaton",
    "string_parts",
]

_MAX_COUNTED = 4_000
"""If the states of a format times its ``maxLength`` are more, the maximum is lowered."""

any_text = counting(0, None)

Accepts = Callable[[Sequence[bool]], bool]


class UnwritableError(Exception):
    """No automaton within the limits describes the strings; ``keyword`` is the reason."""

    def __init__(self, keyword: str, reason: str) -> None:
        super().__init__(reason)
        self.keyword = keyword


@lru_cache(maxsize=1024)
def _automaton_or_reason(pattern: str, wide: bool) -> TextAutomaton | str:
    try:
        return pattern_automaton(pattern, wide=wide)
    except UnsupportedPattern as error:
        return str(error)


def automaton_of(pattern: str, *, wide: bool = False) -> TextAutomaton:
    """`pattern_automaton` with a cache that also remembers failures.

    Raises `UnsupportedPattern` and ValueError as that function does.
    """
    found = _automaton_or_reason(pattern, wide)
    if isinstance(found, str):
        raise UnsupportedPattern(found)
    return found


def check_pattern(pattern: str) -> None:
    """Raise `UnsupportedPattern` or ValueError if a pattern has neither a tree nor an automaton."""
    try:
        parse_pattern(pattern)
    except UnsupportedPattern:
        automaton_of(pattern)


@lru_cache(maxsize=8192)
def pattern_matches(pattern: str, text: str, *, wide: bool = False) -> bool:
    """Whether a regular expression is found in a text; with ``wide``, in some dialect."""
    try:
        return automaton_of(pattern, wide=wide).accepts(text)
    except UnsupportedPattern:
        if wide:
            return True
        return recognise(Grammar({"root": parse_pattern(pattern)}), text)


def in_string(shape: String, text: str) -> bool:
    """Whether a string is in the shape in every dialect.

    A ``format`` is not checked here, because the author of a list of values has chosen them.
    """
    return (
        shape.minimum <= len(text)
        and (shape.maximum is None or len(text) <= shape.maximum)
        and all(pattern_matches(pattern, text) for pattern in shape.patterns)
        and not any(may_be_in_string(left_out, text) for left_out in shape.without)
    )


def may_be_in_string(left_out: String | Values, text: str) -> bool:
    """Whether a string is among the left-out strings in some dialect."""
    if isinstance(left_out, Values):
        return text in left_out.values
    return (
        left_out.minimum <= len(text)
        and (left_out.maximum is None or len(text) <= left_out.maximum)
        and all(pattern_matches(p, text, wide=True) for p in left_out.patterns)
        and all(
            name not in WIDE_FORMATS or pattern_matches(WIDE_FORMATS[name], text, wide=True)
            for name in left_out.formats
        )
        and not any(_surely_in(inner, text) for inner in left_out.without)
    )


def _surely_in(inner: String | Values, text: str) -> bool:
    return text in inner.values if isinstance(inner, Values) else in_string(inner, text)


def string_parts(shape: String, *, lengths: bool = True) -> tuple[list[TextAutomaton], Accepts]:
    """Automata, and a function that tells from their verdicts whether a string is in the shape.

    Raises `UnwritableError`.
    """
    parts: list[TextAutomaton] = []
    return parts, _accepts(shape, parts, wide=False, lengths=lengths)


def _accepts(
    shape: String, parts: list[TextAutomaton], *, wide: bool, lengths: bool = True
) -> Accepts:
    own = _conditions(shape, parts, wide=wide, lengths=lengths)
    left_out = [_without(inner, parts, wide=not wide) for inner in shape.without]

    def accepts(found: Sequence[bool]) -> bool:
        return all(found[n] for n in own) and not any(inner(found) for inner in left_out)

    return accepts


def _without(inner: String | Values, parts: list[TextAutomaton], *, wide: bool) -> Accepts:
    if isinstance(inner, String):
        return _accepts(inner, parts, wide=wide)
    (number,) = _added(parts, [_texts(inner)])
    return lambda found: found[number]


def _added(parts: list[TextAutomaton], new: list[TextAutomaton]) -> list[int]:
    parts += new
    return list(range(len(parts) - len(new), len(parts)))


def _texts(values: Values) -> TextAutomaton:
    return texts_of(value for value in values.values if isinstance(value, str))


def _conditions(
    shape: String, parts: list[TextAutomaton], *, wide: bool, lengths: bool
) -> list[int]:
    """The numbers of the automata that must all accept a string of the shape."""
    formats = WIDE_FORMATS if wide else WHOLE_FORMATS if shape.patterns else FORMATS
    named = [formats[name] for name in shape.formats if name in formats]
    found = _automata("pattern", shape.patterns, wide=wide)
    found += _automata("format", named, wide=wide)
    if wide and any(name not in formats for name in shape.formats):
        raise UnwritableError("not", "a grammar cannot exclude the strings of this format")
    if lengths and (shape.minimum or shape.maximum is not None):
        if max(shape.minimum, shape.maximum or 0) > MAX_PRODUCT:
            keyword = "minLength" if shape.minimum > MAX_PRODUCT else "maxLength"
            raise UnwritableError(keyword, f"lengths over {MAX_PRODUCT} are not supported here")
        found.append(counting(shape.minimum, shape.maximum))
    return _added(parts, found or [any_text])


def _automata(keyword: str, patterns: Sequence[str], *, wide: bool) -> list[TextAutomaton]:
    try:
        return [automaton_of(pattern, wide=wide) for pattern in patterns]
    except UnsupportedPattern as error:
        raise UnwritableError(keyword, str(error)) from None


@lru_cache(maxsize=512)
def string_automaton(shape: String) -> TextAutomaton:
    """All strings of the shape.

    Raises `UnwritableError`.
    """
    whole = _product(shape, lengths=False)
    if whole.is_empty or (
        whole.shortest >= shape.minimum
        and (shape.maximum is None or (whole.longest or shape.maximum + 1) <= shape.maximum)
    ):
        return whole
    longest = shape.maximum
    n_states = len(whole.machine.moves)
    if longest is not None and shape.formats and longest * n_states > _MAX_COUNTED:
        # The rules cover only a part of a format anyway, and a lower maximum takes few states.
        loose = _product(shape, lengths=False, loose=True)
        if loose.shortest + 8 <= LOOSE_MAXIMUM and shape.minimum + 8 <= LOOSE_MAXIMUM:
            whole, longest = loose, min(longest, LOOSE_MAXIMUM)
    count = counting(shape.minimum, longest)
    try:
        found = products([whole, count], _both, frozenset({0, 1}))
    except TooLargeError as error:
        low_only = shape.maximum is None or whole.shortest < shape.minimum
        keyword = "minLength" if low_only else "maxLength"
        raise UnwritableError(keyword, f"together with the keywords next to it: {error}") from None
    return found.get(True, NO_TEXT)


def _both(found: tuple[bool, ...]) -> bool | None:
    return all(found) or None


def _product(shape: String, *, lengths: bool, loose: bool = False) -> TextAutomaton:
    if loose:
        patterns = (LOOSE_FORMATS[name] for name in shape.formats)
        shape = replace(shape, patterns=(*shape.patterns, *patterns), formats=())
    parts, accepts = string_parts(shape, lengths=lengths)
    if len(parts) == 1 and not shape.without:
        return parts[0]
    own = len(_conditions(shape, [], wide=False, lengths=lengths))
    try:
        found = products(parts, lambda flags: accepts(flags) or None, frozenset(range(own)))
    except TooLargeError as error:
        keyword = "not" if shape.without else "pattern"
        raise UnwritableError(keyword, f"together with the keywords next to it: {error}") from None
    return found.get(True, NO_TEXT)

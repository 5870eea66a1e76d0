r"""Sets of characters as ranges of code points, and the sets that regular expressions name.

ECMA-262 and Python disagree on ``\d``, ``\w``, ``\s`` and ``.``. Each of these has a *narrow* set
of the characters that both languages mean, and a *wide* set of the characters that either means.
Text that must match uses the narrow sets. Text that must not match avoids the wide sets.

Sources: ECMA-262, section 22.2; Python's ``re``; the Unicode Character Database as
Python has it; Unicode's emoji-data.txt.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

__all__ = [
    "ALL_CHARACTERS",
    "LINE_ENDS",
    "Ranges",
    "complement",
    "digits",
    "intersection",
    "property_named",
    "spaces",
    "union",
    "words",
]

Ranges = tuple[tuple[int, int], ...]
"""(first, last) code points, sorted, neither overlapping nor adjacent, no surrogates."""

ALL_CHARACTERS: Ranges = ((0, 0xD7FF), (0xE000, 0x10FFFF))

ASCII_DIGITS: Ranges = ((0x30, 0x39),)
ASCII_WORDS: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACES_OF_BOTH: Ranges = (
    (0x09, 0x0D),
    (0x20, 0x20),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
)
_SPACES_OF_ONE: Ranges = ((0x1C, 0x1F), (0x85, 0x85), (0x180E, 0x180E), (0xFEFF, 0xFEFF))
"""White space in ECMA-262, in Python or in an older Unicode, but not in all of them."""

LINE_ENDS: Ranges = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))

_PICTOGRAPHS: Ranges = (
    (0xA9, 0xA9),
    (0xAE, 0xAE),
    (0x203C, 0x203C),
    (0x2049, 0x2049),
    (0x2122, 0x2122),
    (0x2139, 0x2139),
    (0x231A, 0x231B),
    (0x23E9, 0x23F3),
    (0x25FB, 0x25FE),
    (0x2600, 0x2604),
    (0x2611, 0x2611),
    (0x2614, 0x2615),
    (0x2648, 0x2653),
    (0x2705, 0x2705),
    (0x2728, 0x2728),
    (0x274C, 0x274C),
    (0x2753, 0x2755),
    (0x2763, 0x2764),
    (0x2B50, 0x2B50),
    (0x1F300, 0x1F321),
    (0x1F324, 0x1F393),
    (0x1F3A0, 0x1F3F0),
    (0x1F400, 0x1F4FD),
    (0x1F4FF, 0x1F53D),
    (0x1F550, 0x1F567),
    (0x1F5FB, 0x1F64F),
    (0x1F680, 0x1F6C5),
    (0x1F90C, 0x1F93A),
    (0x1F93C, 0x1F945),
    (0x1F947, 0x1F9FF),
)
"""Characters that are in both ``Extended_Pictographic`` and ``Emoji``; the list is not complete."""

_SEVERAL = {"LC": ("Lu", "Ll", "Lt")}
_LONG_NAMES = {
    "letter": "L",
    "cased_letter": "LC",
    "uppercase_letter": "Lu",
    "lowercase_letter": "Ll",
    "titlecase_letter": "Lt",
    "modifier_letter": "Lm",
    "other_letter": "Lo",
    "mark": "M",
    "combining_mark": "M",
    "nonspacing_mark": "Mn",
    "spacing_mark": "Mc",
    "enclosing_mark": "Me",
    "number": "N",
    "decimal_number": "Nd",
    "digit": "Nd",
    "letter_number": "Nl",
    "other_number": "No",
    "punctuation": "P",
    "punct": "P",
    "connector_punctuation": "Pc",
    "dash_punctuation": "Pd",
    "open_punctuation": "Ps",
    "close_punctuation": "Pe",
    "initial_punctuation": "Pi",
    "final_punctuation": "Pf",
    "other_punctuation": "Po",
    "symbol": "S",
    "math_symbol": "Sm",
    "currency_symbol": "Sc",
    "modifier_symbol": "Sk",
    "other_symbol": "So",
    "separator": "Z",
    "space_separator": "Zs",
    "line_separator": "Zl",
    "paragraph_separator": "Zp",
    "control": "Cc",
    "format": "Cf",
    "private_use": "Co",
}
_CATEGORIES = frozenset(
    major + minor
    for major, minors in {
        "C": "cfo",
        "L": "ultmo",
        "M": "nce",
        "N": "dlo",
        "P": "cdseifo",
        "S": "mcko",
        "Z": "slp",
    }.items()
    for minor in minors
)


def union(*sets: Iterable[tuple[int, int]]) -> Ranges:
    """The characters in any of the sets. Their ranges may be in any order."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(item for ranges in sets for item in ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return _without_surrogates(merged)


def complement(ranges: Ranges) -> Ranges:
    """All other characters."""
    found = []
    start = 0
    for first, last in (*ranges, (sys.maxunicode + 1, 0)):
        if start < first:
            found.append((start, first - 1))
        start = last + 1
    return _without_surrogates(found)


def intersection(left: Ranges, right: Ranges) -> Ranges:
    """The characters in both."""
    return complement(union(complement(left), complement(right)))


def _without_surrogates(ranges: list[tuple[int, int]]) -> Ranges:
    found = []
    for first, last in ranges:
        if first <= 0xD7FF:
            found.append((first, min(last, 0xD7FF)))
        if last >= 0xE000:
            found.append((max(first, 0xE000), last))
    return tuple(found)


def digits(*, wide: bool) -> Ranges:
    r"""``\d``: ASCII digits in ECMA-262, digits of all scripts in Python."""
    return _categories("Nd") if wide else ASCII_DIGITS


def words(*, wide: bool) -> Ranges:
    r"""``\w``: ASCII letters, digits and ``_`` in ECMA-262, those of all scripts in Python."""
    return union(_categories("L", "N", "M"), ASCII_WORDS) if wide else ASCII_WORDS


def spaces(*, wide: bool) -> Ranges:
    r"""``\s``: white space, on which the two languages differ in a few characters."""
    return union(_SPACES_OF_BOTH, _SPACES_OF_ONE) if wide else _SPACES_OF_BOTH


def property_named(name: str, *, wide: bool) -> Ranges | None:
    r"""``\p{name}``: a general category, or a property similar to one; None for any other."""
    key, _, value = name.rpartition("=")
    if key and key.lower() not in ("gc", "general_category"):
        return None
    value = _LONG_NAMES.get(value.lower(), value)
    if value in _SEVERAL or value in _CATEGORIES or value in ("L", "M", "N", "P", "S", "Z"):
        return _categories(*_SEVERAL.get(value, (value,)))
    if key:
        return None
    return _near(value.lower(), wide=wide)


def _near(name: str, *, wide: bool) -> Ranges | None:
    """Properties that Python's ``unicodedata`` does not have exactly."""
    if name == "any":
        return ALL_CHARACTERS
    if name == "ascii":
        return ((0, 0x7F),)
    if name in ("alphabetic", "alpha"):
        return _categories("L", "Nl", "M", "So") if wide else _categories("L", "Nl")
    if name in ("uppercase", "upper", "lowercase", "lower"):
        case = "Lu" if name.startswith("u") else "Ll"
        return _categories(case, "Lm", "Lo", "Nl", "So", "M") if wide else _categories(case)
    if name in ("white_space", "space"):
        return spaces(wide=wide)
    if name in ("extended_pictographic", "emoji", "emoji_presentation"):
        # A newer Unicode may add characters, so the wide set has all that is not plain text.
        beyond = union(((0x23, 0x23), (0x2A, 0x2A), (0x30, 0x39)), ((0xA9, 0x10FFFF),))
        narrow = _PICTOGRAPHS if name != "emoji_presentation" else ((0x1F600, 0x1F64F),)
        return beyond if wide else narrow
    if name == "emoji_component":
        return union(
            ((0x23, 0x23), (0x2A, 0x2A), (0x30, 0x39), (0x200D, 0x200D), (0x20E3, 0x20E3)),
            ((0xFE0F, 0xFE0F), (0x1F1E6, 0x1F1FF), (0x1F3FB, 0x1F3FF), (0x1F9B0, 0x1F9B3)),
            ((0xE0020, 0xE007F),),
        )
    return None


@lru_cache(maxsize=64)
def _categories(*names: str) -> Ranges:
    """Characters of these general categories. ``L`` is all categories that begin with L."""
    return union(
        *(
            ranges
            for category, ranges in _by_category().items()
            if category in names or category[0] in names
        )
    )


@lru_cache(maxsize=1)
def _by_category() -> dict[str, Ranges]:
    found: dict[str, list[tuple[int, int]]] = {}
    start, current = 0, unicodedata.category("\0")
    for code in range(1, sys.maxunicode + 2):
        category = unicodedata.category(chr(code)) if code <= sys.maxunicode else ""
        if category != current:
            found.setdefault(current, []).append((start, code - 1))
            start, current = code, category
    return {category: tuple(ranges) for category, ranges in found.items() if category != "Cs"}

"""Unicode categories in regular expressions, which ``re`` does not support.

A text is *collapsed*: every character outside ASCII is replaced by a character that stands
for its category. Expressions are rewritten to small ASCII classes with these stand-ins. So
matching needs no tables, and positions stay the same.
"""

from __future__ import annotations

import re
import unicodedata

from .newer_characters import category_of

__all__ = ["LONG_S", "SPACES", "collapse", "compile_for_collapsed", "compile_for_text"]

_SPACE_CODES = (
    *range(0x09, 0x0E),
    *(0x20, 0x85, 0xA0, 0x1680),
    *range(0x2000, 0x200B),
    *(0x2028, 0x2029, 0x202F, 0x205F, 0x3000),
)

SPACES = "".join(map(chr, _SPACE_CODES))
"""``White_Space`` of Unicode; ``str.isspace`` accepts four more control characters."""

LONG_S = "\x82"
"""Stands for U+017F, which ``(?i:s)`` matches too, in expressions of our own spelling.
"""

_SPACE_STAND_IN, _OTHER = "\x80", "\x81"
_STAND_INS = {
    "Lu": "\x90",
    "Ll": "\x91",
    "Lt": "\x92",
    "Lm": "\x93",
    "Lo": "\x94",
    "M": "\x95",
    "N": "\x96",
    "P": "\x97",
    "S": "\x98",
}

_COLLAPSED_SPACES = f"\t-\r {_SPACE_STAND_IN}"
_CLASSES = {
    "Lu": f"A-Z{_STAND_INS['Lu']}",
    "Ll": f"a-z{_STAND_INS['Ll']}{LONG_S}",
    "Lt": _STAND_INS["Lt"],
    "Lm": _STAND_INS["Lm"],
    "Lo": _STAND_INS["Lo"],
    "L": f"A-Za-z{LONG_S}\x90-\x94",
    "M": _STAND_INS["M"],
    "N": f"0-9{_STAND_INS['N']}",
    "P": rf"!-#%-*,-/:;?@\[-\]_{{}}{_STAND_INS['P']}",
    "S": rf"$+<->\^`|~{_STAND_INS['S']}",
}
"""The ASCII characters and stand-ins in each category."""


class _Collapsed(dict[int, str]):
    """A table for ``str.translate`` that fills itself as characters occur."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _stand_in(code)
        return found


def _stand_in(code: int) -> str:
    if code < 0x80:
        return chr(code)
    if code in _SPACE_CODES:
        return _SPACE_STAND_IN
    if code == 0x17F:
        return LONG_S
    category = category_of(code) or unicodedata.category(chr(code))
    return _STAND_INS.get(category) or _STAND_INS.get(category[0], _OTHER)


_TABLE = _Collapsed()


def collapse(text: str) -> str:
    """``text`` with a stand-in for every character outside ASCII; its length stays the same."""
    return text if text.isascii() else text.translate(_TABLE)


def compile_for_collapsed(expression: str) -> re.Pattern[str]:
    r"""``expression`` with ``\p{…}`` for a collapsed text."""
    return _compile(expression, _COLLAPSED_SPACES)


def compile_for_text(expression: str) -> re.Pattern[str]:
    r"""``expression`` without ``\p{…}`` for a text as it is."""
    return _compile(expression, "".join(f"\\u{code:04x}" for code in _SPACE_CODES))


def _compile(expression: str, spaces: str) -> re.Pattern[str]:
    parts, in_class = [], False
    for part in re.findall(r"\\p\{\w+\}|\\.|.", expression, re.DOTALL):
        if part.startswith(r"\p"):
            members = _CLASSES[part[3:-1]]
            parts.append(members if in_class else f"[{members}]")
        elif part == r"\s":
            parts.append(spaces if in_class else f"[{spaces}]")
        elif part == r"\S":
            parts.append(f"[^{spaces}]")
        elif part == "$":
            parts.append("$" if in_class else r"\Z")
        else:
            in_class = {"[": True, "]": False}.get(part, in_class)
            parts.append(part)
    return re.compile("".join(parts))

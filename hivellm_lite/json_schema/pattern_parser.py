"""Reads the syntax of regular expressions; what anchors mean stands in ``patterns.py``."""

from __future__ import annotations

import re

from ..gbnf.build import alternation, char_class, literal, repeat, sequence
from ..gbnf.syntax import MAX_CODE_POINT, CharClass, Literal, Node, RuleRef

__all__ = ["END", "MAX_PATTERN", "START", "PatternParser", "UnsupportedPattern"]

MAX_PATTERN = 5_000
"""Characters of a pattern."""

_MAX_GROUPS = 20
"""Groups within one another: the tree must not become deeper than a grammar may be."""

MAX_EXPANDED = 20_000
"""Characters of a pattern with its counted repetitions written out."""

START, END = RuleRef("^"), RuleRef("$")
"""Anchors, in the place where they stand; no rule can have these names."""

_DIGITS = ((0x30, 0x39),)
_WORD = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE = (
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
_SPACE_FOR_SOME = ((0x1C, 0x1F), (0x85, 0x85), (0xFEFF, 0xFEFF))
"""White space for ECMA-262 or for Python, but not for both; ``\\S`` leaves it out as well."""
_LINE_ENDS = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_CONTROLS = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "0": "\0"}
_HEX = {"x": 2, "u": 4}

_QUANTIFIER = re.compile(r"(?:([*+?])|\{([0-9]{1,9})(?:(,)([0-9]{1,9})?)?\})([?+])?")
_GROUP = re.compile(r"\?(?::|P?<[A-Za-z_]\w*>)")

Ranges = tuple[tuple[int, int], ...]


class UnsupportedPattern(Exception):
    """A regular expression that is not read into a grammar; the message says why."""


class PatternParser:
    """One regular expression, read from left to right.

    Raises `UnsupportedPattern` and, for what is no regular expression, ValueError.
    """

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_PATTERN:
            raise UnsupportedPattern(f"a pattern of over {MAX_PATTERN} characters")
        self._pattern = pattern
        self._place = 0
        self._open = 0

    def parse(self) -> Node:
        """The tree; `START` and `END` stand where the anchors do."""
        node, _ = self._alternatives()
        if self._place < len(self._pattern):
            raise self._wrong("a parenthesis that closes nothing")
        return node

    def _alternatives(self) -> tuple[Node, int]:
        """What stands up to the end or a closing parenthesis, and its size written out."""
        options, size = [], 0
        while True:
            node, length = self._sequence()
            options.append(node)
            size += length
            if self._peek() != "|":
                return alternation(*options), size
            self._place += 1

    def _sequence(self) -> tuple[Node, int]:
        items: list[Node] = []
        total = 0
        while self._peek() not in ("", "|", ")"):
            item, size = self._atom()
            quantifier = _QUANTIFIER.match(self._pattern, self._place)
            if quantifier:
                item, size = self._quantified(item, size, quantifier)
            total += size
            if total > MAX_EXPANDED:
                raise UnsupportedPattern(f"a pattern for over {MAX_EXPANDED} characters")
            # Characters in a row become one literal, for the reader of the grammar.
            if items and isinstance(item, Literal) and isinstance(items[-1], Literal):
                items[-1] = Literal(items[-1].text + item.text)
            else:
                items.append(item)
        return sequence(*items), total

    def _quantified(self, item: Node, size: int, match: re.Match[str]) -> tuple[Node, int]:
        self._place = match.end()
        short, low, comma, high, mode = match.groups()
        if item in (START, END):
            raise UnsupportedPattern("a repeated anchor")
        if mode == "+":
            raise UnsupportedPattern("a possessive quantifier")
        if short:
            minimum, maximum = {"*": (0, None), "+": (1, None), "?": (0, 1)}[short]
        else:
            minimum = int(low)
            maximum = (int(high) if high else None) if comma else minimum
        if maximum is not None and maximum < minimum:
            raise self._wrong(f"the quantifier {match[0]} counts down")
        if self._peek() and self._peek() in "*+?":
            raise self._wrong("a quantifier with nothing to repeat")
        return repeat(item, minimum, maximum), size * max(minimum, maximum or 1, 1)

    def _atom(self) -> tuple[Node, int]:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._class(), 1
        if char == ".":
            return char_class(_LINE_ENDS, negated=True), 1
        if char in "^$":
            return (START if char == "^" else END), 0
        if char == "\\":
            found = self._escape(in_class=False)
            return (literal(found) if isinstance(found, str) else char_class(found)), 1
        if char in "*+?" or (char == "{" and _QUANTIFIER.match(self._pattern, self._place - 1)):
            raise self._wrong("a quantifier with nothing to repeat")
        return literal(char), 1

    def _group(self) -> tuple[Node, int]:
        if self._peek() == "?":
            match = _GROUP.match(self._pattern, self._place)
            if not match:
                raise UnsupportedPattern("look-around or another special group")
            self._place = match.end()
        self._open += 1
        if self._open > _MAX_GROUPS:
            raise UnsupportedPattern(f"over {_MAX_GROUPS} groups within one another")
        node, size = self._alternatives()
        if self._peek() != ")":
            raise self._wrong("a group that is not closed")
        self._place += 1
        self._open -= 1
        return node, size

    def _class(self) -> CharClass:
        """What stands behind ``[``, up to the closing bracket."""
        negated = self._peek() == "^"
        self._place += negated
        ranges: list[tuple[int, int]] = []
        if self._peek() == "]":
            # For Python it is one of the characters, for ECMA-262 the end of the class.
            raise UnsupportedPattern("a class that begins with a bracket")
        while self._peek() != "]":
            low = self._member()
            if self._peek() != "-" or self._pattern[self._place + 1 : self._place + 2] == "]":
                ranges += low
                continue
            self._place += 1
            high = self._member()
            if not all(len(end) == 1 and end[0][0] == end[0][1] for end in (low, high)):
                raise UnsupportedPattern("a range of characters between classes")
            (first, _), (last, _) = low[0], high[0]
            if first > last:
                raise self._wrong("a range of characters that runs backwards")
            ranges.append((first, last))
        self._place += 1
        return char_class(ranges, negated=negated)

    def _member(self) -> Ranges:
        if not self._peek():
            raise self._wrong("a class that is not closed")
        char = self._next()
        found: str | Ranges = self._escape(in_class=True) if char == "\\" else char
        return ((ord(found), ord(found)),) if isinstance(found, str) else found

    def _escape(self, *, in_class: bool) -> str | Ranges:
        """Behind a backslash: one character, or the ranges of a class."""
        if not self._peek():
            raise self._wrong("a backslash at the end")
        char = self._next()
        if char.lower() in _CLASSES:
            if char == "S":
                return char_class((*_SPACE, *_SPACE_FOR_SOME), negated=True).positive
            return CharClass(_CLASSES[char.lower()], negated=char.isupper()).positive
        if char == "b" and in_class:
            return "\b"
        if char in _CONTROLS and not (char == "0" and self._peek().isdecimal()):
            return _CONTROLS[char]
        if char in _HEX:
            return self._hexadecimal(char)
        if char.isalnum() or char == "_":
            raise UnsupportedPattern(f"the escape \\{char}")
        return char

    def _hexadecimal(self, kind: str) -> str:
        if kind == "u" and self._peek() == "{":
            end = self._pattern.find("}", self._place)
            digits = self._pattern[self._place + 1 : end] if end > 0 else ""
            self._place = end + 1
        else:
            digits = self._pattern[self._place : self._place + _HEX[kind]]
            self._place += _HEX[kind]
            if len(digits) < _HEX[kind]:
                digits = ""
        if not re.fullmatch(r"[0-9A-Fa-f]{1,6}", digits) or int(digits, 16) > MAX_CODE_POINT:
            raise self._wrong("an escape without its hexadecimal digits")
        code = int(digits, 16)
        if 0xD800 <= code <= 0xDFFF:
            raise UnsupportedPattern("half of a surrogate pair")
        return chr(code)

    def _peek(self) -> str:
        return self._pattern[self._place : self._place + 1]

    def _next(self) -> str:
        self._place += 1
        return self._pattern[self._place - 1]

    def _wrong(self, problem: str) -> ValueError:
        return ValueError(f"{problem} at character {self._place}")

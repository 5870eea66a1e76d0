"""Parses the syntax of regular expressions. ``patterns.py`` interprets the anchors.

Where ECMA-262 and Python disagree, a *narrow* reading matches what both match, and a *wide*
reading matches what either matches. Within a negated class or a negative look-around, narrow and
wide are exchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ...gbnf.build import alternation, char_class, literal, repeat, sequence
from ...gbnf.syntax import MAX_CODE_POINT, CharClass, Literal, Node, RuleRef
from .assertions import ANCHORS, END, LAST_LINE_END, START, Assertion, looking, word_boundary
from .characters import LINE_ENDS, Ranges, complement, digits, property_named, spaces, words

__all__ = ["MAX_EXPANDED", "MAX_PATTERN", "PatternParser", "UnsupportedPattern"]

MAX_PATTERN = 5_000
"""Characters that a pattern may have."""

_MAX_GROUPS = 20
"""Nested groups of a pattern: its tree must not be deeper than a grammar may be."""

MAX_EXPANDED = 20_000
"""Characters that a pattern may have when its counted repetitions are written out."""

_CLASSES = {"d": digits, "w": words, "s": spaces}
_CONTROLS = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "0": "\0"}
_HEX = {"x": 2, "u": 4}

_QUANTIFIER = re.compile(r"(?:([*+?])|\{([0-9]{1,9})(?:(,)([0-9]{1,9})?)?\})([?+])?")
_GROUP = re.compile(r"\?(?::|P?<[A-Za-z_]\w*>)")
_LOOK = re.compile(r"\?(<?)([=!])")
_PROPERTY = re.compile(r"\{([A-Za-z_=]{1,60})\}")


class UnsupportedPattern(Exception):
    """A regular expression that cannot become a grammar. The message says why."""


class PatternParser:
    """Parses one regular expression, from left to right.

    Raises `UnsupportedPattern`, and ValueError for anything but a regular expression.
    """

    def __init__(self, pattern: str, *, wide: bool = False) -> None:
        self.assertions: dict[str, Assertion] = dict(ANCHORS)
        """The assertions by their names in the tree."""
        self._wide = wide
        if len(pattern) > MAX_PATTERN:
            raise UnsupportedPattern(f"the pattern has over {MAX_PATTERN} characters")
        self._pattern = pattern
        self._place = 0
        self._open = 0

    def parse(self) -> Node:
        """The tree. A name from ``assertions`` marks a place where that assertion must hold."""
        node, _ = self._alternatives()
        if self._place < len(self._pattern):
            raise self._wrong("a parenthesis that closes nothing")
        return node

    def _alternatives(self) -> tuple[Node, int]:
        """The alternatives up to a closing parenthesis or the end, and their size written out."""
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
                raise UnsupportedPattern(
                    f"the pattern has over {MAX_EXPANDED} characters when its repetitions are "
                    "written out"
                )
            # Adjacent characters become one literal, so that people can read the grammar.
            if items and isinstance(item, Literal) and isinstance(items[-1], Literal):
                items[-1] = Literal(items[-1].text + item.text)
            else:
                items.append(item)
        return sequence(*items), total

    def _quantified(self, item: Node, size: int, match: re.Match[str]) -> tuple[Node, int]:
        self._place = match.end()
        short, low, comma, high, mode = match.groups()
        if isinstance(item, RuleRef):
            raise UnsupportedPattern("a repeated anchor is not supported")
        if mode == "+":
            raise UnsupportedPattern("a possessive quantifier is not supported")
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
            return char_class(((0x0A, 0x0A),) if self._wide else LINE_ENDS, negated=True), 1
        if char == "^":
            return START, 0
        if char == "$":
            return (LAST_LINE_END if self._wide else END), 0
        if char == "\\" and self._peek() in ("b", "B"):
            node, assertions = word_boundary(is_one=self._next() == "b", wide=self._wide)
            self.assertions.update(assertions)
            return node, 1
        if char == "\\":
            found = self._escape(in_class=False)
            return (literal(found) if isinstance(found, str) else char_class(found)), 1
        if char in "*+?" or (char == "{" and _QUANTIFIER.match(self._pattern, self._place - 1)):
            raise self._wrong("a quantifier with nothing to repeat")
        return literal(char), 1

    def _group(self) -> tuple[Node, int]:
        look = _LOOK.match(self._pattern, self._place)
        if look:
            self._place = look.end()
            with self._turned(look[2] == "!"):
                node, size = self._inside()
            found = looking(node, ahead=not look[1], negated=look[2] == "!")
            return self._named(found), size
        if self._peek() == "?":
            match = _GROUP.match(self._pattern, self._place)
            if not match:
                raise UnsupportedPattern("a special group, such as (?i), is not supported")
            self._place = match.end()
        return self._inside()

    def _inside(self) -> tuple[Node, int]:
        """The content of a pair of parentheses, of which the first has been read."""
        self._open += 1
        if self._open > _MAX_GROUPS:
            raise UnsupportedPattern(f"over {_MAX_GROUPS} groups within one another are too many")
        node, size = self._alternatives()
        if self._peek() != ")":
            raise self._wrong("a group that is not closed")
        self._place += 1
        self._open -= 1
        return node, size

    @contextmanager
    def _turned(self, turned: bool) -> Iterator[None]:
        """Exchange narrow and wide if ``turned``."""
        self._wide ^= turned
        yield
        self._wide ^= turned

    def _named(self, assertion: Assertion) -> RuleRef:
        name = f"?{len(self.assertions)}"
        self.assertions[name] = assertion
        return RuleRef(name)

    def _class(self) -> CharClass:
        """The class after ``[``, up to and including the closing bracket."""
        negated = self._peek() == "^"
        self._place += negated
        with self._turned(negated):
            ranges = self._members()
        return char_class(ranges, negated=negated)

    def _members(self) -> list[tuple[int, int]]:
        ranges: list[tuple[int, int]] = []
        if self._peek() == "]":
            # In Python this bracket is one of the characters, in ECMA-262 it ends the class.
            raise UnsupportedPattern("a class that begins with a bracket is not supported")
        while self._peek() != "]":
            low = self._member()
            if self._peek() != "-" or self._pattern[self._place + 1 : self._place + 2] == "]":
                ranges += low
                continue
            self._place += 1
            high = self._member()
            if not all(len(end) == 1 and end[0][0] == end[0][1] for end in (low, high)):
                raise UnsupportedPattern("a range of characters between classes is not supported")
            (first, _), (last, _) = low[0], high[0]
            if first > last:
                raise self._wrong("a range of characters that runs backwards")
            ranges.append((first, last))
        self._place += 1
        return ranges

    def _member(self) -> Ranges:
        if not self._peek():
            raise self._wrong("a class that is not closed")
        char = self._next()
        found: str | Ranges = self._escape(in_class=True) if char == "\\" else char
        return ((ord(found), ord(found)),) if isinstance(found, str) else found

    def _escape(self, *, in_class: bool) -> str | Ranges:
        """The escape after a backslash: one character, or the ranges of a class."""
        if not self._peek():
            raise self._wrong("a backslash at the end")
        char = self._next()
        if char.lower() in _CLASSES:
            named = _CLASSES[char.lower()]
            if char.islower():
                return named(wide=self._wide)
            return complement(named(wide=not self._wide))
        if char in "pP":
            return self._property(negated=char == "P")
        if char == "b" and in_class:
            return "\b"
        if char in _CONTROLS and not (char == "0" and self._peek().isdecimal()):
            return _CONTROLS[char]
        if char in _HEX:
            return self._hexadecimal(char)
        if char.isalnum():
            raise UnsupportedPattern(f"the escape \\{char} is not supported")
        return char

    def _property(self, *, negated: bool) -> Ranges:
        match = _PROPERTY.match(self._pattern, self._place)
        if not match:
            raise UnsupportedPattern("the escape \\p without a property in braces is not supported")
        self._place = match.end()
        found = property_named(match[1], wide=self._wide != negated)
        if found is None:
            raise UnsupportedPattern(f"the property {match[1]!r} of characters is not supported")
        return complement(found) if negated else found

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
            raise UnsupportedPattern("half of a surrogate pair is not a character")
        return chr(code)

    def _peek(self) -> str:
        return self._pattern[self._place : self._place + 1]

    def _next(self) -> str:
        self._place += 1
        return self._pattern[self._place - 1]

    def _wrong(self, problem: str) -> ValueError:
        return ValueError(f"{problem} at character {self._place}")

"""Collects the rules of a grammar: their names, and the rules that all schemas share."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable

from ..errors import GrammarError
from ..gbnf.build import alternation, char_class, literal, optional, repeat, sequence
from ..gbnf.limits import MAX_RULES
from ..gbnf.syntax import EMPTY, Node, RuleRef
from .layout import WHITE_SPACE, Layout

__all__ = ["MAX_COUNTED", "UNESCAPED", "RuleBook", "name_of"]

MAX_COUNTED = 1_000
"""Repetitions that one counter writes. Higher counts repeat blocks of this size.
llama.cpp accepts 2,000, and an automaton has a state for each repetition."""

_MAX_NAME = 60
_STRUCTURE = re.compile(r"^#?$|properties$|^\$defs$|^definitions$")

_HEX = char_class([(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)])
_DIGIT = char_class([(0x30, 0x39)])


def _chars(text: str) -> Node:
    """One of the characters of a text."""
    return char_class([(ord(char), ord(char)) for char in text])


_QUOTE = literal('"')
UNESCAPED = char_class([(0x00, 0x1F), (0x22, 0x22), (0x5C, 0x5C)], negated=True)
"""Characters that a JSON string holds as they are."""

_WHOLE = alternation(literal("0"), sequence(char_class([(0x31, 0x39)]), repeat(_DIGIT, 0, 18)))


class RuleBook:
    """The rules by name, in the order in which they were reserved."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.rules: dict[str, Node] = {}
        self._shared = _shared(layout)
        self._remembered: dict[Hashable, Node] = {}

    def reserve(self, wanted: str) -> str:
        """Reserve a place and a name, similar to the wanted one, for a new rule.

        Raises `GrammarError` if there are too many rules.
        """
        plain = re.sub(r"[^A-Za-z0-9]+", "-", wanted).strip("-")[:_MAX_NAME] or "rule"
        name, count = plain, 1
        while name in self.rules or name in self._shared:
            count += 1
            name = f"{plain}-{count}"
        if len(self.rules) >= MAX_RULES:
            raise GrammarError(
                f"JSON schema: its grammar has over {MAX_RULES} rules\nUse a smaller schema."
            )
        self.rules[name] = EMPTY
        return name

    def add(self, wanted: str, body: Node) -> RuleRef:
        """Add a rule with this body."""
        name = self.reserve(wanted)
        self.rules[name] = body
        return RuleRef(name)

    def shared(self, name: str) -> RuleRef:
        """A rule that is the same for all schemas: ``string``, ``value``, ``escape``, …"""
        if name not in self.rules:
            body, parts = self._shared[name]
            self.rules[name] = body
            for part in parts:
                self.shared(part)
        return RuleRef(name)

    def remembered(self, key: Hashable, make: Callable[[], Node]) -> Node:
        """The node that ``make`` returned for this key. ``make`` is called once for each key."""
        if key not in self._remembered:
            self._remembered[key] = make()
        return self._remembered[key]

    def counted(self, wanted: str, item: Node, minimum: int, maximum: int | None) -> Node:
        """``item{minimum,maximum}``. High counts are made of blocks in separate rules."""
        if max(minimum, maximum or 0) <= MAX_COUNTED:
            return repeat(item, minimum, maximum)
        block = self.add(f"{wanted}-block", repeat(item, MAX_COUNTED, MAX_COUNTED))
        blocks, rest = divmod(minimum, MAX_COUNTED)
        least = sequence(repeat(block, blocks, blocks), repeat(item, rest, rest))
        if maximum is None:
            return sequence(least, repeat(item))
        blocks, rest = divmod(maximum - minimum, MAX_COUNTED)
        most = sequence(repeat(block, blocks, blocks), repeat(item, 0, rest))
        if not blocks:
            return sequence(least, most)
        fewer = sequence(repeat(block, 0, blocks - 1), repeat(item, 0, MAX_COUNTED - 1))
        return sequence(least, alternation(fewer, most))


def name_of(pointer: str) -> str:
    """A rule name that recalls the place of a schema.

    ``#/properties/user/properties/address`` becomes ``user-address``.
    """
    steps = [step for step in pointer.split("/") if not _STRUCTURE.search(step)]
    return "-".join(steps)


def _shared(layout: Layout) -> dict[str, tuple[Node, tuple[str, ...]]]:
    """The shared rules by name, each as (body, names of the rules that the body refers to)."""
    comma, colon, gap = layout.comma, layout.colon, layout.gap
    gaps = ("ws",) if gap != EMPTY else ()

    def listed(opening: str, item: Node, closing: str) -> Node:
        items = sequence(item, repeat(sequence(comma, item)), gap)
        return sequence(literal(opening), gap, optional(items), literal(closing))

    value, string = RuleRef("value"), RuleRef("string")
    whole = RuleRef("whole")
    code_unit = alternation(
        sequence(_chars("0123456789abcefABCEF"), repeat(_HEX, 3, 3)),
        sequence(
            _chars("dD"),
            alternation(
                sequence(_chars("01234567"), repeat(_HEX, 2, 2)),
                sequence(
                    _chars("89abAB"),
                    repeat(_HEX, 2, 2),
                    literal("\\u"),
                    _chars("dD"),
                    _chars("cdefCDEF"),
                    repeat(_HEX, 2, 2),
                ),
            ),
        ),
    )
    return {
        "value": (
            alternation(
                RuleRef("object"),
                RuleRef("array"),
                string,
                RuleRef("number"),
                literal("true"),
                literal("false"),
                literal("null"),
            ),
            ("object", "array", "string", "number"),
        ),
        "object": (
            listed("{", sequence(string, colon, value), "}"),
            ("string", "value", *gaps),
        ),
        "array": (listed("[", value, "]"), ("value", *gaps)),
        "string": (sequence(_QUOTE, repeat(RuleRef("char")), _QUOTE), ("char",)),
        "char": (
            alternation(
                UNESCAPED,
                sequence(
                    literal("\\"),
                    alternation(_chars('"\\/bfnrt'), sequence(literal("u"), RuleRef("code-unit"))),
                ),
            ),
            ("code-unit",),
        ),
        "code-unit": (code_unit, ()),
        "plain-char": (alternation(UNESCAPED, RuleRef("escape")), ("escape",)),
        "escape": (
            sequence(
                literal("\\"),
                alternation(
                    _chars('"\\bfnrt'),
                    sequence(
                        literal("u00"),
                        alternation(
                            sequence(literal("0"), _chars("01234567bef")),
                            sequence(literal("1"), _chars("0123456789abcdef")),
                        ),
                    ),
                ),
            ),
            (),
        ),
        "number": (
            sequence(
                optional(literal("-")),
                whole,
                optional(sequence(literal("."), repeat(_DIGIT, 1, 19))),
                optional(sequence(_chars("eE"), optional(_chars("+-")), repeat(_DIGIT, 1, 2))),
            ),
            ("whole",),
        ),
        "integer": (sequence(optional(literal("-")), whole), ("whole",)),
        "whole": (_WHOLE, ()),
        "ws": (WHITE_SPACE, ()),
    }

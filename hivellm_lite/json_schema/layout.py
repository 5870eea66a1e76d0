"""The white space between the tokens of JSON, and the choices a caller has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as Choice

from ..gbnf.build import alternation, char_class, literal, optional, repeat, sequence
from ..gbnf.syntax import EMPTY, Node, RuleRef

__all__ = ["LAYOUTS", "WHITE_SPACE", "Layout", "Whitespace"]

Whitespace = Choice["single", "compact", "any"]
"""White space in a JSON answer: as ``json.dumps`` writes by default, none, or any."""


@dataclass(frozen=True)
class Layout:
    """Separators between items and after a key, and the gap inside of brackets."""

    comma: Node
    colon: Node
    gap: Node


_NEWLINE = sequence(optional(literal("\r")), literal("\n"))
_GAP = RuleRef("ws")

WHITE_SPACE = optional(
    alternation(
        literal(" "),
        sequence(repeat(_NEWLINE, 1, 2), repeat(char_class([(0x09, 0x09), (0x20, 0x20)]), 0, 40)),
    )
)
"""The rule ``ws``: nothing, a space, or one or two line ends and an indentation.

The length is bounded, because a model that may write white space forever sometimes does.
"""

LAYOUTS: dict[Whitespace, Layout] = {
    "single": Layout(literal(", "), literal(": "), EMPTY),
    "compact": Layout(literal(","), literal(":"), EMPTY),
    "any": Layout(sequence(_GAP, literal(","), _GAP), sequence(_GAP, literal(":"), _GAP), _GAP),
}
"""``single`` is Python's default for ``json.dumps``; ``compact`` has no white space."""

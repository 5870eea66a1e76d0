r"""What regular expressions assert about a place: anchors, look-around, word boundaries.

A tree names an assertion with a `RuleRef` at the place where the assertion must hold. No rule of
a grammar can have these names.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...gbnf.build import ANY, alternation, char_class, literal, optional, repeat, sequence
from ...gbnf.syntax import EMPTY, Node, RuleRef
from .characters import complement, union, words

__all__ = ["ANCHORS", "END", "LAST_LINE_END", "START", "Assertion", "looking", "word_boundary"]


@dataclass(frozen=True)
class Assertion:
    """A condition at one place of a text, on all that follows or on all that precedes.

    ``tree`` describes the rest of the text (``ahead``) or its beginning as a whole.
    """

    tree: Node
    ahead: bool
    negated: bool = False


START, END, LAST_LINE_END = RuleRef("^"), RuleRef("$"), RuleRef("$?")
"""`LAST_LINE_END` is Python's ``$``, which also matches before a line end that ends the text."""

ANCHORS = {
    START.name: Assertion(EMPTY, ahead=False),
    END.name: Assertion(EMPTY, ahead=True),
    LAST_LINE_END.name: Assertion(optional(literal("\n")), ahead=True),
}


def looking(node: Node, *, ahead: bool, negated: bool = False) -> Assertion:
    """The text that follows begins with the node, or the text before ends with the node."""
    anything = repeat(ANY)
    tree = sequence(node, anything) if ahead else sequence(anything, node)
    return Assertion(tree, ahead, negated)


def word_boundary(*, is_one: bool, wide: bool) -> tuple[Node, dict[str, Assertion]]:
    r"""``\b``, or ``\B`` unless ``is_one``: the node, and the assertions that it names.

    A character belongs to words in both dialects, in one of them, or in neither. The ends of the
    text count as characters of the last kind.
    """
    inner, outside = words(wide=False), complement(words(wide=True))
    kinds = (inner, complement(union(inner, outside)), outside)
    every = [(a, b) for a in range(3) for b in range(3)]
    certain = [(0, 2), (2, 0)]
    if is_one:
        pairs = [(a, b) for a, b in every if a != b] if wide else certain
    elif wide:
        pairs = [pair for pair in every if pair not in certain]
    else:
        pairs = [(a, b) for a, b in every if a == b]
    assertions = {}
    for number, ranges in enumerate(kinds):
        for ahead in (False, True):
            found = looking(char_class(ranges), ahead=ahead)
            if number == 2:
                found = Assertion(alternation(found.tree, EMPTY), ahead)
            assertions[_beside(number, ahead=ahead)] = found
    node = alternation(
        *(
            sequence(RuleRef(_beside(a, ahead=False)), RuleRef(_beside(b, ahead=True)))
            for a, b in pairs
        )
    )
    return node, assertions


def _beside(kind: int, *, ahead: bool) -> str:
    """The name of the assertion that the next, or the last, character is of this kind."""
    return f"{'next' if ahead else 'last'} {kind}"

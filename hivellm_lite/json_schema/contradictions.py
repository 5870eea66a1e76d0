"""Removes the parts of a grammar that no text completes: schemas that contradict each other.

A property with contradictory schemas has no value. If the property is optional, it is left out.
If it is required, its object has no text either, and so on up to the root.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from ..gbnf.build import NOTHING, alternation, repeat, sequence
from ..gbnf.rewriting.analysis import productive_rules, references
from ..gbnf.syntax import (
    EMPTY,
    Alternation,
    CharClass,
    Grammar,
    Literal,
    Node,
    Repeat,
    RuleRef,
    Sequence,
)

__all__ = ["without_contradictions"]


def without_contradictions(rules: Mapping[str, Node], root: str) -> dict[str, Node]:
    """The rules that the root needs, without the parts that have no text.

    The result is empty if the root itself has no text.
    """
    productive = productive_rules(Grammar(dict(rules), root=root))
    if root not in productive:
        return {}
    kept: dict[str, Node] = {}
    pending = [root]
    while pending:
        name = pending.pop()
        if name not in kept:
            body = _trimmed(rules[name], productive)
            kept[name] = EMPTY if body is None else body
            pending += references(body or EMPTY)
    return {name: kept[name] for name in rules if name in kept}


def _trimmed(node: Node, productive: AbstractSet[str]) -> Node | None:
    """The node without the options that have no text; None if nothing is left."""
    if isinstance(node, RuleRef):
        return node if node.name in productive else None
    if isinstance(node, CharClass):
        return None if node == NOTHING else node
    if isinstance(node, Repeat):
        item = _trimmed(node.item, productive)
        if item is None:
            return EMPTY if node.minimum == 0 else None
        return repeat(item, node.minimum, node.maximum)
    if isinstance(node, Sequence):
        items = [_trimmed(item, productive) for item in node.items]
        kept = [item for item in items if item is not None]
        return sequence(*_joined(kept)) if len(kept) == len(items) else None
    if isinstance(node, Alternation):
        options = [_trimmed(option, productive) for option in node.options]
        left = _different([option for option in options if option is not None])
        return alternation(*left) if left else None
    return node


def _different(options: list[Node]) -> list[Node]:
    """Each literal and each reference once. Comparing whole trees would take too long."""
    seen: set[Node] = set()
    kept = []
    for option in options:
        if isinstance(option, (Literal, RuleRef)):
            if option in seen:
                continue
            seen.add(option)
        kept.append(option)
    return kept


def _joined(items: list[Node]) -> list[Node]:
    """Adjacent literals become one, which is easier to read."""
    joined: list[Node] = []
    for item in items:
        if isinstance(item, Literal) and joined and isinstance(joined[-1], Literal):
            joined[-1] = Literal(joined[-1].text + item.text)
        else:
            joined.append(item)
    return joined

"""Removes what can never be completed: alternatives that end in a contradiction.

A property whose schemas contradict each other has no value. If it is optional
it is left out, if it is required its object goes, and so on up to the root.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..gbnf.build import NOTHING, alternation, repeat, sequence
from ..gbnf.syntax import EMPTY, Alternation, CharClass, Literal, Node, Repeat, RuleRef, Sequence

__all__ = ["productive_rules"]


def productive_rules(rules: Mapping[str, Node], root: str) -> dict[str, Node]:
    """The rules that are needed and have a text, without the parts that have none.

    Empty if the root has no text.
    """
    productive = _productive(rules)
    if root not in productive:
        return {}
    kept: dict[str, Node] = {}
    pending = [root]
    while pending:
        name = pending.pop()
        if name not in kept:
            body = _trimmed(rules[name], productive)
            kept[name] = EMPTY if body is None else body
            pending += _references(body or EMPTY)
    return {name: kept[name] for name in rules if name in kept}


def _productive(rules: Mapping[str, Node]) -> set[str]:
    """Rules that have a text: a fixpoint that visits a rule when one that blocks it joins."""
    waiting: dict[str, list[str]] = {}
    found: set[str] = set()
    pending = list(rules)
    while pending:
        name = pending.pop()
        if name in found:
            continue
        blocking = _blocking(rules[name], found)
        if blocking is None:
            found.add(name)
            pending += waiting.pop(name, [])
        for other in blocking or ():
            waiting.setdefault(other, []).append(name)
    return found


def _blocking(node: Node, productive: set[str]) -> list[str] | None:
    """None if a node has a text; otherwise rules of which one has to have a text first."""
    if isinstance(node, RuleRef):
        return None if node.name in productive else [node.name]
    if isinstance(node, CharClass):
        return [] if node == NOTHING else None
    if isinstance(node, Repeat):
        return _blocking(node.item, productive) if node.minimum else None
    if isinstance(node, Sequence):
        for item in node.items:
            blocking = _blocking(item, productive)
            if blocking is not None:
                return blocking
        return None
    if isinstance(node, Alternation):
        together: dict[str, None] = {}
        for option in node.options:
            blocking = _blocking(option, productive)
            if blocking is None:
                return None
            together.update(dict.fromkeys(blocking))
        return list(together)
    return None


def _references(node: Node) -> list[str]:
    names: list[str] = []
    pending = [node]
    while pending:
        part = pending.pop()
        if isinstance(part, RuleRef):
            names.append(part.name)
        elif isinstance(part, Repeat):
            pending.append(part.item)
        elif isinstance(part, (Sequence, Alternation)):
            pending += part.items if isinstance(part, Sequence) else part.options
    return names


def _trimmed(node: Node, productive: set[str]) -> Node | None:
    """The node without options that have no text; None if it has none itself."""
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
    """Without simple options that are there already; to compare trees would take long."""
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
    """Literals in a row as one, which reads better."""
    joined: list[Node] = []
    for item in items:
        if isinstance(item, Literal) and joined and isinstance(joined[-1], Literal):
            joined[-1] = Literal(joined[-1].text + item.text)
        else:
            joined.append(item)
    return joined

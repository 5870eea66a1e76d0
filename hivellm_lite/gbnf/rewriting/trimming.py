"""Removes the parts of a grammar that no sentence uses: parts without any text, unused rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace

from ...errors import GrammarError
from ..build import alternation, normal, repeat, sequence
from ..syntax import (
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
from .analysis import nodes, productive_rules, reachable_rules, references

__all__ = ["trimmed", "without_unused_rules"]


def trimmed(grammar: Grammar) -> Grammar:
    """The same language without options that never end and without rules that nothing uses.

    Rules whose only text is the empty text are left out, too. The trees are in the normal form
    of ``build.py``. Raises `GrammarError` if a rule is missing or the root has no text at all.
    """
    for name in (grammar.root, *(r for body in grammar.rules.values() for r in references(body))):
        if name not in grammar.rules:
            raise GrammarError(
                f"{grammar.source}: there is no rule {name!r}, though the grammar needs it"
                "\nDefine it, or correct the name where it is used."
            )
    productive = productive_rules(grammar)
    if grammar.root not in productive:
        raise GrammarError(
            f"{grammar.source}: no text fits rule {grammar.root!r}: every way through it is "
            "endless\nGive the rules that it uses an option that ends."
        )
    rules = {}
    for name, body in grammar.rules.items():
        alive = _alive(normal(body), productive)
        if alive is not None:
            rules[name] = alive
    blank = rules.keys() - _rules_with_characters(rules)
    rules = {name: _without(body, blank) for name, body in rules.items()}
    return without_unused_rules(replace(grammar, rules=rules))


def without_unused_rules(grammar: Grammar) -> Grammar:
    """The grammar with only the rules that its root leads to."""
    reached = reachable_rules(grammar)
    return replace(grammar, rules={n: body for n, body in grammar.rules.items() if n in reached})


def _alive(node: Node, productive: AbstractSet[str]) -> Node | None:
    """The node without options that have no text; None if nothing is left."""
    if isinstance(node, RuleRef):
        return node if node.name in productive else None
    if isinstance(node, CharClass):
        return node if node.positive else None
    if isinstance(node, Sequence):
        items = [_alive(item, productive) for item in node.items]
        whole = [item for item in items if item is not None]
        return sequence(*whole) if len(whole) == len(items) else None
    if isinstance(node, Alternation):
        options = [_alive(option, productive) for option in node.options]
        left = [option for option in options if option is not None]
        return alternation(*left) if left else None
    if isinstance(node, Repeat):
        item = _alive(node.item, productive)
        if item is None:
            return EMPTY if node.minimum == 0 else None
        return repeat(item, node.minimum, node.maximum)
    return node


def _rules_with_characters(rules: Mapping[str, Node]) -> set[str]:
    """The rules with a text other than the empty text. Every part must have a text."""
    users: defaultdict[str, list[str]] = defaultdict(list)
    found: list[str] = []
    for name, body in rules.items():
        for rule in references(body):
            users[rule].append(name)
        if any(isinstance(node, CharClass | Literal) for node in nodes(body)):
            found.append(name)
    known = set(found)
    for name in found:
        for user in users[name]:
            if user not in known:
                known.add(user)
                found.append(user)
    return known


def _without(node: Node, blank: AbstractSet[str]) -> Node:
    """The node with the empty text in place of the rules in ``blank``."""
    if isinstance(node, RuleRef):
        return EMPTY if node.name in blank else node
    if isinstance(node, Sequence):
        return sequence(*[_without(item, blank) for item in node.items])
    if isinstance(node, Alternation):
        return alternation(*[_without(option, blank) for option in node.options])
    if isinstance(node, Repeat):
        return repeat(_without(node.item, blank), node.minimum, node.maximum)
    return node

"""Writes any key except the keys that a schema lists."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from ...gbnf.build import ANY, alternation, char_class, literal, repeat, sequence
from ...gbnf.syntax import EMPTY, Node, RuleRef
from ..rules import RuleBook
from ..strings.nodes import encoded

__all__ = ["other_key"]

_NESTED = 16
"""Characters of a name in one rule. A longer name continues in another rule."""


@dataclass
class _Branch:
    """The continuations of the excluded names that share a beginning."""

    children: dict[str, _Branch] = field(default_factory=dict)
    is_name: bool = False


def other_key(excluded: Iterable[str], rules: RuleBook, wanted: str) -> Node:
    """A key in quotes that is not excluded. Each character has one spelling."""
    anything = encoded(repeat(ANY), rules, wanted)
    root = _Branch()
    for name in excluded:
        branch = root
        for char in name:
            branch = branch.children.setdefault(char, _Branch())
        branch.is_name = True
    start = rules.reserve(f"{wanted}-key")
    pending = [(start, root)]

    def written(branch: _Branch, depth: int) -> Node:
        if depth == _NESTED:
            name = rules.reserve(f"{wanted}-key")
            pending.append((name, branch))
            return RuleRef(name)
        unused = char_class(((ord(c), ord(c)) for c in branch.children), negated=True)
        options = [sequence(encoded(unused, rules, wanted), anything)]
        for char, child in branch.children.items():
            spelled = literal(json.dumps(char, ensure_ascii=False)[1:-1])
            options.append(sequence(spelled, written(child, depth + 1)))
        if not branch.is_name:
            options.append(EMPTY)
        return alternation(*options)

    while pending:
        name, branch = pending.pop()
        rules.rules[name] = written(branch, 0)
    return sequence(literal('"'), RuleRef(start), literal('"'))

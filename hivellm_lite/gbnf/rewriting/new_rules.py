"""Names and places the rules that a rewriting adds: after the rule that they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..syntax import Grammar, Node
from .trimming import without_unused_rules

__all__ = ["NewRules"]


class NewRules:
    """The names of the new rules of one rewriting of ``grammar``."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._origins: dict[str, str] = {}

    def name(self, rule: str, ending: str) -> str:
        """A free name for a rule that comes from ``rule``, such as ``rule-ending``."""
        origin = self._origins.get(rule, rule)
        name, number = f"{origin}-{ending}", 1
        while name in self._grammar.rules or name in self._origins:
            number += 1
            name = f"{origin}-{ending}-{number}"
        self._origins[name] = origin
        return name

    def placed(self, rules: Mapping[str, Node]) -> Grammar:
        """The grammar with the old and new bodies in ``rules``, without unused rules."""
        added: dict[str, list[str]] = {}
        for name, origin in self._origins.items():
            added.setdefault(origin, []).append(name)
        bodies: dict[str, Node] = {}
        lines = dict(self._grammar.lines)
        for name, body in self._grammar.rules.items():
            bodies[name] = rules.get(name, body)
            for new in added.get(name, ()):
                bodies[new] = rules[new]
                if name in lines:
                    lines[new] = lines[name]
        return without_unused_rules(replace(self._grammar, rules=bodies, lines=lines))

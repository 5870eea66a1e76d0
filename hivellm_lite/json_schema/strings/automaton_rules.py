"""Writes automata as grammar rules: one rule for each state that several states lead to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...gbnf.build import NOTHING, alternation, char_class, optional, repeat, sequence
from ...gbnf.syntax import EMPTY, CharClass, Node, RuleRef
from ..rules import RuleBook
from .automata import TextAutomaton, TooLargeError
from .characters import Ranges, union

__all__ = ["MAX_AUTOMATON_RULES", "automaton_node"]

MAX_AUTOMATON_RULES = 2_500
"""Rules for one automaton. A grammar may have four times as many."""

_MAX_STEPS = 12
"""Nested states in one rule, because trees must not become deep."""


def automaton_node(
    automaton: TextAutomaton,
    rules: RuleBook,
    wanted: str,
    encoded: Callable[[CharClass], Node],
) -> Node:
    """The texts of the automaton, each character written as ``encoded`` says.

    Raises `TooLargeError`.
    """
    if automaton.is_empty:
        return NOTHING
    return _Writer(automaton, rules, wanted, encoded).node()


@dataclass
class _Writer:
    automaton: TextAutomaton
    rules: RuleBook
    wanted: str
    encoded: Callable[[CharClass], Node]

    def node(self) -> Node:
        machine = self.automaton.machine
        self._edges = [self._ranges_by_target(state) for state in range(len(machine.moves))]
        joins = self._joins()
        if len(joins) > MAX_AUTOMATON_RULES:
            raise TooLargeError(f"over {MAX_AUTOMATON_RULES} rules would be needed")
        self._names = {state: self.rules.reserve(self.wanted) for state in joins}
        self._pending = list(joins)
        start = RuleRef(self._names[0]) if 0 in joins else self._body(0, 0)
        while self._pending:
            state = self._pending.pop()
            self.rules.rules[self._names[state]] = self._body(state, 0)
        return start

    def _ranges_by_target(self, state: int) -> dict[int, Ranges]:
        found: dict[int, list[Ranges]] = {}
        for number, (target,) in self.automaton.machine.moves[state].items():
            found.setdefault(target, []).append(self.automaton.classes[int(number)])
        return {target: union(*parts) for target, parts in found.items()}

    def _joins(self) -> list[int]:
        """States that more than one other state leads to. At least one is on each circle."""
        incoming = [0] * len(self._edges)
        incoming[0] = 1
        for state, row in enumerate(self._edges):
            for target in row:
                incoming[target] += target != state
        # A circle can be entered from outside, or holds the start, which counts as entered.
        return [state for state, count in enumerate(incoming) if count > 1]

    def _body(self, state: int, depth: int) -> Node:
        # Without a choice, no level is added to the tree.
        passed: list[Node] = []
        while len(self._edges[state]) == 1 and not self.automaton.machine.final[state]:
            ((target, ranges),) = self._edges[state].items()
            passed.append(self.encoded(char_class(ranges)))
            if target in self._names:
                return sequence(*passed, RuleRef(self._names[target]))
            state = target
        return sequence(*passed, self._choice(state, depth))

    def _choice(self, state: int, depth: int) -> Node:
        row = self._edges[state]
        options: list[Node] = []
        for target, ranges in row.items():
            if target == state:
                continue
            if target not in self._names and depth >= _MAX_STEPS:
                self._names[target] = self.rules.reserve(self.wanted)
                self._pending.append(target)
            following = (
                RuleRef(self._names[target])
                if target in self._names
                else self._body(target, depth + 1)
            )
            options.append(sequence(self.encoded(char_class(ranges)), following))
        rest = alternation(*options) if options else EMPTY
        if options and self.automaton.machine.final[state]:
            rest = optional(rest)
        if state in row:
            return sequence(repeat(self.encoded(char_class(row[state]))), rest)
        return rest

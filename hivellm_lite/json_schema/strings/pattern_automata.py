"""Compiles regular expressions, with look-around and anchors anywhere, to automata.

The compiler is the subset construction with two additions. A path through the expression that
passes a look-ahead carries the state of the look-ahead's automaton along, and both must accept.
The automata of look-behinds run beside the expression from the beginning of the text.

Source: T. Miyazaki, Y. Minamide, "Derivatives of Regular Expressions with
Lookahead" (2019), for the idea that look-ahead is conjunction.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from ...gbnf.automata.dfa import Machine, Moves
from ...gbnf.build import ANY, repeat, sequence
from ...gbnf.rewriting.analysis import references
from ...gbnf.syntax import Node
from .assertions import Assertion
from .automata import TextAutomaton, character_classes, leading_to, trimmed
from .characters import Ranges
from .pattern_nfa import PatternNfa, character_sets
from .pattern_parser import PatternParser, UnsupportedPattern

__all__ = ["pattern_automaton", "tree_automaton"]

MAX_WORK = 400_000
"""Steps of a path by one character, for one pattern: about a second."""

_Obligation = tuple[str, int]
"""(name of a look-ahead, state of its automaton): a look-ahead that must still accept."""

_Way = tuple[int, frozenset[_Obligation]]
"""(state of the expression, look-aheads that must also accept)."""


@lru_cache(maxsize=512)
def pattern_automaton(pattern: str, *, wide: bool = False) -> TextAutomaton:
    """All strings in which the pattern is found; with ``wide``, in some dialect.

    Raises `UnsupportedPattern` for syntax that is not supported and for automata that are too
    large. Raises ValueError for anything but a pattern.
    """
    parser = PatternParser(pattern, wide=wide)
    anything = repeat(ANY)
    tree = sequence(anything, parser.parse(), anything)
    trees = [tree, *(assertion.tree for assertion in parser.assertions.values())]
    classes = character_classes(ranges for part in trees for ranges in character_sets(part))
    compiler = _Compiler(classes, parser.assertions)
    return compiler.whole(tree)


def tree_automaton(tree: Node) -> TextAutomaton:
    """The texts of a tree that refers to no rules.

    Raises `UnsupportedPattern` if it is too large.
    """
    return _Compiler(character_classes(character_sets(tree)), {}).whole(tree)


class _Compiler:
    """Compiles one pattern. Its automata share the classes of characters and the look-behinds."""

    def __init__(
        self, classes: tuple[Ranges, ...], assertions: Mapping[str, Assertion], *, level: int = 0
    ) -> None:
        if level > 5:
            raise UnsupportedPattern("too many look-behinds within one another")
        self.classes = classes
        self.work = MAX_WORK
        self._assertions = assertions
        self._level = level
        self._behind: dict[str, TextAutomaton] = {}
        self._ahead: dict[str, _Subsets] = {}

    def whole(self, tree: Node) -> TextAutomaton:
        """The automaton of a tree that describes whole texts."""
        self._prepare(tree)
        subsets = _Subsets(self, tree)
        start = subsets.entry(tuple(0 for _ in self._behind))
        assert start == 0  # noqa: S101 — the entry is the first state
        subsets.explore()
        return trimmed(self.classes, subsets.moves, subsets.final)

    def _prepare(self, tree: Node) -> None:
        """Compile the look-behinds of a tree and of its look-aheads."""
        for name in references(tree):
            assertion = self._assertions[name]
            if assertion.ahead:
                if name not in self._ahead:
                    self._ahead[name] = _Subsets(self, assertion.tree)
                    self._prepare(assertion.tree)
            elif name not in self._behind:
                if any(self._assertions[inner].ahead for inner in references(assertion.tree)):
                    raise UnsupportedPattern("look-ahead within look-behind is not supported")
                inner = _Compiler(self.classes, self._assertions, level=self._level + 1)
                self._behind[name] = _on_classes(inner.whole(assertion.tree), self.classes)

    def after(self, behind: tuple[int, ...], number: int) -> tuple[int, ...]:
        """The states of the look-behinds after one more character."""
        return tuple(
            automaton.step(state, number)
            for automaton, state in zip(self._behind.values(), behind, strict=True)
        )

    def holds(self, name: str, behind: tuple[int, ...]) -> bool:
        place = list(self._behind).index(name)
        state = behind[place]
        found = state >= 0 and self._behind[name].machine.final[state]
        return found != self._assertions[name].negated

    def is_ahead(self, name: str) -> bool:
        return self._assertions[name].ahead

    def begun(self, name: str, behind: tuple[int, ...]) -> _Obligation:
        return name, self._ahead[name].entry(behind)

    def followed(self, obligation: _Obligation, number: int) -> _Obligation:
        name, state = obligation
        return name, self._ahead[name].step(state, number)

    def verdict(self, obligation: _Obligation) -> bool | None:
        """Whether all continuations meet the obligation, or none does; None if only some do."""
        name, state = obligation
        found = self._ahead[name].verdict(state)
        return found if found is None else found != self._assertions[name].negated

    def ends_well(self, obligation: _Obligation) -> bool:
        name, state = obligation
        found = state >= 0 and self._ahead[name].final[state]
        return found != self._assertions[name].negated

    def spend(self, work: int) -> None:
        self.work -= work
        if self.work < 0:
            raise UnsupportedPattern("the automaton of the pattern is too large")


def _on_classes(automaton: TextAutomaton, classes: tuple[Ranges, ...]) -> TextAutomaton:
    """The same automaton over a finer partition of the characters."""
    own = [automaton.class_of(part[0][0]) for part in classes]
    moves: tuple[Moves, ...] = tuple(
        {number: row[symbol] for number, symbol in enumerate(own) if symbol in row}
        for row in automaton.machine.moves
    )
    return TextAutomaton(classes, Machine(moves, automaton.machine.final))


class _Subsets:
    """The deterministic automaton of one tree, built on demand.

    A state combines the states of the look-behinds with the set of open paths.
    """

    def __init__(self, compiler: _Compiler, tree: Node) -> None:
        self._compiler = compiler
        self._nfa = PatternNfa(compiler.classes)
        self._start = self._nfa.state()
        self._end = self._nfa.add(tree, self._start)
        self._numbers: dict[tuple[tuple[int, ...], frozenset[_Way]], int] = {}
        self._keys: list[tuple[tuple[int, ...], frozenset[_Way]]] = []
        self.moves: list[dict[int, int]] = []
        self.final: list[bool] = []
        self._verdicts: list[bool | None] = []

    def entry(self, behind: tuple[int, ...]) -> int:
        """The state before the first character of a text of the tree."""
        return self._number(behind, {(self._start, frozenset())})

    def step(self, state: int, number: int) -> int:
        if state < 0:
            return -1
        self.explore()
        return self.moves[state].get(number, -1)

    def verdict(self, state: int) -> bool | None:
        """Whether all continuations are texts of the tree, or none is; None if only some are."""
        if state < 0:
            return False
        self.explore()
        if len(self._verdicts) < len(self.final):
            dead = self._never(wanted=True)
            sure = self._never(wanted=False)
            self._verdicts = [
                False if is_dead else (True if is_sure else None)
                for is_dead, is_sure in zip(dead, sure, strict=True)
            ]
        return self._verdicts[state]

    def _never(self, *, wanted: bool) -> list[bool]:
        """For each state, whether no continuation ends in a state whose ``final`` is ``wanted``."""
        n_classes = len(self._compiler.classes)
        self._compiler.spend(len(self.moves) * n_classes // 2 + 1)
        found = leading_to(
            self.moves,
            (
                state
                for state, row in enumerate(self.moves)
                if self.final[state] == wanted or (not wanted and len(row) < n_classes)
            ),
        )
        return [state not in found for state in range(len(self.moves))]

    def explore(self) -> None:
        """Make all states that can be reached from the states so far."""
        while len(self.moves) < len(self._keys):
            behind, ways = self._keys[len(self.moves)]
            row: dict[int, int] = {}
            self.moves.append(row)
            for number in range(len(self._compiler.classes)):
                self._compiler.spend(len(ways) + 1)
                reached: set[_Way] = set()
                for state, obligations in ways:
                    for bits, target in self._nfa.moves[state]:
                        if bits >> number & 1:
                            left = self._left(obligations, number)
                            if left is not None:
                                reached.add((target, left))
                if reached:
                    target = self._number(self._compiler.after(behind, number), reached)
                    if target >= 0:
                        row[number] = target

    def _left(
        self, obligations: frozenset[_Obligation], number: int
    ) -> frozenset[_Obligation] | None:
        """The obligations that remain after a character; None if one cannot be met."""
        return self._open({self._compiler.followed(o, number) for o in obligations})

    def _open(self, obligations: set[_Obligation]) -> frozenset[_Obligation] | None:
        verdicts = {o: self._compiler.verdict(o) for o in obligations}
        if False in verdicts.values():
            return None
        return frozenset(o for o, verdict in verdicts.items() if verdict is None)

    def _number(self, behind: tuple[int, ...], reached: set[_Way]) -> int:
        """The number of the state in which these paths, extended by empty edges, are open."""
        ways = set(reached)
        pending = list(reached)
        while pending:
            self._compiler.spend(1)
            state, obligations = pending.pop()
            for name, target in self._nfa.empty[state]:
                left: frozenset[_Obligation] | None = obligations
                if name is not None:
                    if self._compiler.is_ahead(name):
                        begun = self._compiler.begun(name, behind)
                        left = self._open({*obligations, begun})
                    elif not self._compiler.holds(name, behind):
                        left = None
                if left is not None and (target, left) not in ways:
                    ways.add((target, left))
                    pending.append((target, left))
        kept = self._shortest(ways)
        if not kept:
            return -1
        key = (behind, kept)
        known = self._numbers.setdefault(key, len(self._keys))
        if known == len(self._keys):
            self._keys.append(key)
            self.final.append(
                any(
                    state == self._end and all(map(self._compiler.ends_well, obligations))
                    for state, obligations in kept
                )
            )
        return known

    def _shortest(self, ways: set[_Way]) -> frozenset[_Way]:
        """The paths without states that have only empty edges, and without needless obligations."""
        by_state: dict[int, list[frozenset[_Obligation]]] = {}
        for state, obligations in ways:
            if self._nfa.moves[state] or state == self._end:
                by_state.setdefault(state, []).append(obligations)
        return frozenset(
            (state, own)
            for state, found in by_state.items()
            for own in found
            if not any(other < own for other in found)
        )

"""Makes a machine without empty edges from an `Nfa`, deterministic and minimal if that stays small.

The subset construction gives left factoring for free: alternatives that begin alike run together,
also if they call the same rule. It can explode, so it gives up in time. The machine then has
several targets for a symbol, and the matcher makes the subsets that a text needs.

Sources: M. Rabin, D. Scott, "Finite automata and their decision problems" (1959);
A. Valmari, P. Lehtinen, "Efficient Minimization of DFAs with Partial Transition
Functions" (2008).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..budget import TRANSITION, Budget

__all__ = ["Machine", "Moves", "Symbol", "SymbolNfa", "minimal", "to_machine"]

Symbol = int | str | bytes
"""The number of a class of bytes, the name of a rule, of which a non-empty text is read, or bytes
that are read one after another."""

Moves = dict[Symbol, tuple[int, ...]]

MEMBERS = 16
"""Members of a set that one step of the budget pays for."""

GROWTH = 16
"""All subsets together have at most this many times the states of the rule, …"""

ALLOWANCE = 100_000
"""… plus this number: about 0.2 s. The largest rule of a published grammar needs half of it."""


@dataclass(frozen=True, slots=True)
class SymbolNfa:
    """An automaton: ``empty`` has the targets of empty edges, ``moves`` (label number, target)."""

    labels: Sequence[tuple[Symbol, ...]]
    """The symbols of each label. An edge reads one of them."""
    empty: Sequence[Sequence[int]]
    moves: Sequence[Sequence[tuple[int, int]]]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Machine:
    """State 0 is the first. A text may end in a ``final`` state; every state can reach one."""

    moves: tuple[Moves, ...]
    final: tuple[bool, ...]


def to_machine(nfa: SymbolNfa, budget: Budget | None = None) -> Machine:
    """A machine with the same texts, minimal if it is deterministic. ``nfa`` must have a text.

    Raises `GrammarError` when the budget is used up.
    """
    budget = budget or Budget()
    closures = _Closures(nfa, budget)
    machine = _subsets(nfa, closures, budget)
    return _unions(nfa, closures, budget) if machine is None else minimal(machine)


class _Closures:
    """The states with moves, and the end, to which empty edges lead from a state."""

    def __init__(self, nfa: SymbolNfa, budget: Budget) -> None:
        self._nfa = nfa
        self._budget = budget
        self._useful = _useful_states(nfa)
        self._known: dict[int, frozenset[int]] = {}

    def of(self, state: int) -> frozenset[int]:
        known = self._known.get(state)
        if known is None:
            nfa = self._nfa
            seen = {state}
            pending = [state]
            while pending:
                for target in nfa.empty[pending.pop()]:
                    if target not in seen:
                        seen.add(target)
                        pending.append(target)
            self._budget.spend(len(seen))
            known = self._known[state] = frozenset(
                state for state in seen & self._useful if nfa.moves[state] or state == nfa.end
            )
        return known


def _useful_states(nfa: SymbolNfa) -> set[int]:
    """The states from which the end can be reached."""
    sources: list[list[int]] = [[] for _ in nfa.empty]
    for state, targets in enumerate(nfa.empty):
        for target in targets:
            sources[target].append(state)
        for _, target in nfa.moves[state]:
            sources[target].append(state)
    useful = {nfa.end}
    pending = [nfa.end]
    while pending:
        for source in sources[pending.pop()]:
            if source not in useful:
                useful.add(source)
                pending.append(source)
    return useful


def _subsets(nfa: SymbolNfa, closures: _Closures, budget: Budget) -> Machine | None:
    """The deterministic machine; None if it is too large or takes too much of the budget."""
    limit = GROWTH * len(nfa.empty) + ALLOWANCE
    n_members = 0
    allowed = budget.left // 3
    numbers: dict[frozenset[int], int] = {}
    subsets: list[frozenset[int]] = []
    moves: list[Moves] = []

    def number(subset: frozenset[int]) -> int:
        known = numbers.setdefault(subset, len(subsets))
        if known == len(subsets):
            subsets.append(subset)
        return known

    number(closures.of(nfa.start))
    parts = _Parts(nfa.labels)
    while len(moves) < len(subsets):
        n_members += len(subsets[len(moves)])
        allowed -= len(subsets[len(moves)]) + 1
        budget.spend(len(subsets[len(moves)]) + 1)
        if n_members > limit or allowed < 0:
            return None
        targets: dict[int, set[int]] = {}
        for state in subsets[len(moves)]:
            for label, target in nfa.moves[state]:
                targets.setdefault(label, set()).add(target)
        before = budget.left
        reached = {
            label: _union([closures.of(state) for state in states], budget)
            for label, states in targets.items()
        }
        allowed -= before - budget.left
        size = sum(map(len, reached.values()))
        budget.spend(size)
        allowed -= size
        row: Moves = {}
        for symbols, labels in parts.of(frozenset(label for label in reached if reached[label])):
            before = budget.left
            subset = _union([reached[label] for label in labels], budget)
            allowed -= before - budget.left
            if allowed < 0:
                return None
            row.update(dict.fromkeys(symbols, (number(subset),)))
        budget.spend(TRANSITION * len(row))
        allowed -= TRANSITION * len(row)
        moves.append(row)
    return Machine(tuple(moves), tuple(nfa.end in subset for subset in subsets))


def _union(sets: Sequence[frozenset[int]], budget: Budget) -> frozenset[int]:
    """All members of ``sets``. There are many, and each takes less time than a step."""
    budget.spend(len(sets) + sum(map(len, sets)) // MEMBERS)
    return frozenset().union(*sets)


class _Parts:
    """Groups the symbols of labels: symbols in the same labels form one group."""

    def __init__(self, labels: Sequence[tuple[Symbol, ...]]) -> None:
        self._labels = labels
        self._known: dict[frozenset[int], list[tuple[list[Symbol], tuple[int, ...]]]] = {}

    def of(self, labels: frozenset[int]) -> list[tuple[list[Symbol], tuple[int, ...]]]:
        """Pairs (symbols, labels). Each symbol is in exactly these labels."""
        if labels not in self._known:
            having: dict[Symbol, list[int]] = {}
            for label in labels:
                for symbol in self._labels[label]:
                    having.setdefault(symbol, []).append(label)
            parts: dict[tuple[int, ...], list[Symbol]] = {}
            for symbol, its_labels in having.items():
                parts.setdefault(tuple(its_labels), []).append(symbol)
            self._known[labels] = [(symbols, its_labels) for its_labels, symbols in parts.items()]
        return self._known[labels]


def _unions(nfa: SymbolNfa, closures: _Closures, budget: Budget) -> Machine:
    """The machine without empty edges, with several targets for a symbol."""
    numbers = {nfa.start: 0}
    states = [nfa.start]
    moves: list[Moves] = []
    while len(moves) < len(states):
        row: dict[Symbol, dict[int, None]] = {}
        for state in closures.of(states[len(moves)]):
            for label, target in nfa.moves[state]:
                if not closures.of(target):
                    continue
                if numbers.setdefault(target, len(states)) == len(states):
                    states.append(target)
                budget.spend(TRANSITION * len(nfa.labels[label]))
                for symbol in nfa.labels[label]:
                    row.setdefault(symbol, {})[numbers[target]] = None
        moves.append({symbol: tuple(targets) for symbol, targets in row.items()})
    return Machine(tuple(moves), tuple(nfa.end in closures.of(state) for state in states))


def minimal(machine: Machine) -> Machine:
    """Merge the states after which the same texts follow."""
    sources: list[list[tuple[Symbol, int]]] = [[] for _ in machine.moves]
    for state, row in enumerate(machine.moves):
        for symbol, (target,) in row.items():
            sources[target].append((symbol, state))
    ends = {state for state, final in enumerate(machine.final) if final}
    blocks = [block for block in (ends, set(range(len(sources))) - ends) if block]
    block_of = [0] * len(sources)
    for number, block in enumerate(blocks):
        for state in block:
            block_of[state] = number
    pending = set(range(len(blocks)))
    while pending:
        before: dict[Symbol, set[int]] = {}
        for state in blocks[pending.pop()]:
            for symbol, source in sources[state]:
                before.setdefault(symbol, set()).add(source)
        for states in before.values():
            for number in {block_of[state] for state in states}:
                inside = blocks[number] & states
                if len(inside) == len(blocks[number]):
                    continue
                blocks[number] -= inside
                new = len(blocks)
                blocks.append(inside)
                for state in inside:
                    block_of[state] = new
                # If the block is still pending, both parts stay so. Otherwise the smaller one does.
                pending.add(
                    new if number in pending or len(inside) <= len(blocks[number]) else number
                )
    return _merged(machine, block_of)


def _merged(machine: Machine, block_of: Sequence[int]) -> Machine:
    numbers: dict[int, int] = {}
    members: list[int] = []
    for state in range(len(block_of)):
        if numbers.setdefault(block_of[state], len(members)) == len(members):
            members.append(state)

    def renumbered(targets: Iterable[int]) -> tuple[int, ...]:
        return tuple(numbers[block_of[target]] for target in targets)

    return Machine(
        tuple(
            {symbol: renumbered(targets) for symbol, targets in machine.moves[state].items()}
            for state in members
        ),
        tuple(machine.final[state] for state in members),
    )

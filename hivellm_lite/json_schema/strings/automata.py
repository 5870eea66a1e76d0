"""Finite automata over characters: combines them, excludes texts, and measures lengths.

Patterns, formats and lengths describe regular languages, however they are combined. The product
of their automata decides every question about them. Automata are deterministic and minimal, and
all work on them is bounded.

Source: J. Hopcroft, J. Ullman, *Introduction to Automata Theory, Languages, and
Computation* (1979), sections 3.2 and 3.4.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from ...gbnf.automata.dfa import Machine, Moves, minimal
from ...lazy import lazy
from .characters import ALL_CHARACTERS, Ranges, union

__all__ = [
    "MAX_PRODUCT",
    "NO_TEXT",
    "TextAutomaton",
    "TooLargeError",
    "character_classes",
    "counting",
    "leading_to",
    "products",
    "texts_of",
    "trimmed",
]

MAX_PRODUCT = 30_000
"""States of a product before it is made minimal."""

MAX_WORK = 600_000
"""Steps of the factors of a product, for all of its states: about a second."""

Label = TypeVar("Label", bound=Hashable)


class TooLargeError(Exception):
    """An automaton would have too many states."""


@dataclass(frozen=True, eq=False)
class TextAutomaton:
    """``classes`` divide all characters. ``machine`` moves by the numbers of the classes."""

    classes: tuple[Ranges, ...]
    machine: Machine

    @lazy
    def _starts(self) -> tuple[list[int], list[int]]:
        """The first code points of all ranges, in order, and the class of each range."""
        found = sorted((first, n) for n, part in enumerate(self.classes) for first, _ in part)
        return [first for first, _ in found], [number for _, number in found]

    def class_of(self, code: int) -> int:
        starts, numbers = self._starts
        return numbers[bisect_right(starts, code) - 1]

    def step(self, state: int, number: int) -> int:
        """The state after a character of a class. The dead state, -1, leads only to itself."""
        return self.machine.moves[state].get(number, (-1,))[0] if state >= 0 else -1

    def accepts(self, text: str) -> bool:
        state = 0
        for char in text:
            state = self.step(state, self.class_of(ord(char)))
            if state < 0:
                return False
        return self.machine.final[state]

    @property
    def is_empty(self) -> bool:
        return not any(self.machine.final)

    @lazy
    def shortest(self) -> int:
        """Characters of the shortest text; 0 if there is no text."""
        lengths = self._distances
        return min(
            (n for n, end in zip(lengths, self.machine.final, strict=True) if end), default=0
        )

    @lazy
    def _distances(self) -> list[int]:
        found = {0: 0}
        pending = [0]
        for state in pending:
            for (target,) in self.machine.moves[state].values():
                if target not in found:
                    found[target] = found[state] + 1
                    pending.append(target)
        return [found[state] for state in range(len(self.machine.moves))]

    @lazy
    def longest(self) -> int | None:
        """Characters of the longest text; None if there is no longest text."""
        order: list[int] = []
        seen: dict[int, bool] = {0: False}
        path = [(0, iter(_targets(self.machine, 0)))]
        while path:
            state, targets = path[-1]
            for target in targets:
                if target not in seen:
                    seen[target] = False
                    path.append((target, iter(_targets(self.machine, target))))
                    break
                if not seen[target]:
                    return None
            else:
                seen[state] = True
                order.append(state)
                path.pop()
        longest: dict[int, int] = {}
        for state in order:
            further = (longest[target] + 1 for target in _targets(self.machine, state))
            longest[state] = max(further, default=0)
        return longest[0]


def _targets(machine: Machine, state: int) -> list[int]:
    return [target for (target,) in machine.moves[state].values()]


NO_TEXT = TextAutomaton((ALL_CHARACTERS,), Machine(({},), (False,)))


@lru_cache(maxsize=64)
def counting(minimum: int, maximum: int | None) -> TextAutomaton:
    """All texts with ``minimum`` to ``maximum`` characters; None means no upper bound."""
    last = minimum if maximum is None else maximum
    moves: list[Moves] = [{0: (n + 1,)} for n in range(last)]
    moves.append({0: (last,)} if maximum is None else {})
    return TextAutomaton(
        (ALL_CHARACTERS,), Machine(tuple(moves), tuple(n >= minimum for n in range(last + 1)))
    )


def texts_of(texts: Iterable[str]) -> TextAutomaton:
    """The automaton of exactly these texts."""
    branches: list[dict[str, int]] = [{}]
    ends: set[int] = set()
    for text in texts:
        state = 0
        for char in text:
            following = branches[state].setdefault(char, len(branches))
            if following == len(branches):
                branches.append({})
            state = following
        ends.add(state)
    chars = sorted({char for branch in branches for char in branch})
    classes = character_classes([((ord(char), ord(char)),) for char in chars])
    number_of = {chr(part[0][0]): n for n, part in enumerate(classes)}
    machine = Machine(
        tuple({number_of[char]: (target,) for char, target in row.items()} for row in branches),
        tuple(state in ends for state in range(len(branches))),
    )
    return TextAutomaton(classes, minimal(machine)) if ends else NO_TEXT


def character_classes(sets: Iterable[Ranges]) -> tuple[Ranges, ...]:
    """The coarsest partition of all characters such that each set is a union of its classes."""
    distinct = [ALL_CHARACTERS, *dict.fromkeys(sets)]
    borders: dict[int, int] = {}
    for number, ranges in enumerate(distinct):
        for first, last in ranges:
            borders[first] = borders.get(first, 0) ^ (1 << number)
            borders[last + 1] = borders.get(last + 1, 0) ^ (1 << number)
    parts: dict[int, list[tuple[int, int]]] = {}
    places = sorted(borders)
    inside = 0
    for place, following in zip(places, [*places[1:], 0], strict=True):
        inside ^= borders[place]
        if inside & 1:
            parts.setdefault(inside, []).append((place, following - 1))
    return tuple(sorted(union(ranges) for ranges in parts.values()))


def products(
    parts: Sequence[TextAutomaton],
    label: Callable[[tuple[bool, ...]], Label | None],
    needed: frozenset[int] = frozenset(),
) -> dict[Label, TextAutomaton]:
    """For each label, the automaton of the texts with that label.

    ``label`` returns the label of a text from the verdicts of all parts, or None for a text that
    does not matter. Texts that one of the ``needed`` parts rejects must have no label.

    Raises `TooLargeError`.
    """
    classes = character_classes(part_class for part in parts for part_class in part.classes)
    columns = [[part.class_of(own[0][0]) for part in parts] for own in classes]
    start = tuple(0 for _ in parts)
    numbers = {start: 0}
    states = [start]
    moves: list[dict[int, int]] = []
    no_part_has_none = bool(parts) and label(tuple(False for _ in parts)) is None
    while len(moves) < len(states):
        row: dict[int, int] = {}
        state = states[len(moves)]
        for number, column in enumerate(columns):
            target = tuple(
                part.step(own, own_class)
                for part, own, own_class in zip(parts, state, column, strict=True)
            )
            if any(target[n] < 0 for n in needed) or (no_part_has_none and max(target) < 0):
                continue
            if numbers.setdefault(target, len(states)) == len(states):
                states.append(target)
                if len(states) > min(MAX_PRODUCT, MAX_WORK // (len(classes) * len(parts) or 1)):
                    raise TooLargeError("there are too many states")
            row[number] = numbers[target]
        moves.append(row)
    labels = [
        label(
            tuple(
                own >= 0 and part.machine.final[own] for part, own in zip(parts, state, strict=True)
            )
        )
        for state in states
    ]
    found: dict[Label, TextAutomaton] = {}
    for name in labels:
        if name is not None and name not in found:
            found[name] = trimmed(classes, moves, [other == name for other in labels])
    return found


def leading_to(moves: Sequence[dict[int, int]], targets: Iterable[int]) -> set[int]:
    """The targets and all states from which one of them can be reached."""
    sources: list[list[int]] = [[] for _ in moves]
    for state, row in enumerate(moves):
        for target in row.values():
            sources[target].append(state)
    found = set(targets)
    pending = list(found)
    while pending:
        for source in sources[pending.pop()]:
            if source not in found:
                found.add(source)
                pending.append(source)
    return found


def trimmed(
    classes: tuple[Ranges, ...], moves: Sequence[dict[int, int]], final: Sequence[bool]
) -> TextAutomaton:
    """The minimal automaton of the states from which a final state can be reached."""
    useful = leading_to(moves, (state for state, end in enumerate(final) if end))
    if 0 not in useful:
        return NO_TEXT
    reached = [0]
    numbers = {0: 0}
    rows: list[Moves] = []
    for state in reached:
        kept: Moves = {}
        for symbol, target in moves[state].items():
            if target in useful:
                if numbers.setdefault(target, len(reached)) == len(reached):
                    reached.append(target)
                kept[symbol] = (numbers[target],)
        rows.append(kept)
    machine = Machine(tuple(rows), tuple(final[state] for state in reached))
    return _with_few_classes(classes, minimal(machine))


def _with_few_classes(classes: tuple[Ranges, ...], machine: Machine) -> TextAutomaton:
    """The same automaton, with one class for all classes that no state distinguishes."""
    columns: dict[tuple[int, ...], list[int]] = {}
    for number in range(len(classes)):
        column = tuple(row.get(number, (-1,))[0] for row in machine.moves)
        columns.setdefault(column, []).append(number)
    joined = list(columns.values())
    merged = tuple(union(*(classes[number] for number in numbers)) for numbers in joined)
    moves: tuple[Moves, ...] = tuple(
        {number: row[numbers[0]] for number, numbers in enumerate(joined) if numbers[0] in row}
        for row in machine.moves
    )
    return TextAutomaton(merged, Machine(moves, machine.final))

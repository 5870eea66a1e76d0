"""The places in a grammar's rules, and what can happen at each. Earley's items consist of them.

A place is a *continuation*. It consists of a node, of the part of it that is done (characters of a
literal, items of a sequence, rounds of a repetition), and of the continuation after it.
Continuations are numbered when first met, so ``x{0,2000}`` costs only as much as a text uses of it.
Parts of rules that match no text are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..errors import GrammarError
from .syntax import Alternation, CharClass, Grammar, Literal, Node, Repeat, RuleRef, Sequence

__all__ = ["MAX_CONTINUATIONS", "Continuations", "Moves"]

MAX_CONTINUATIONS = 400_000
"""Places in rules. Counted repetitions count as far as texts have unrolled them."""


@dataclass(frozen=True, slots=True)
class Moves:
    """The moves at a continuation before the next character."""

    chars: tuple[tuple[Literal | CharClass, int, int], ...]
    """(node, its characters that are done, continuation after its next character)"""
    calls: tuple[tuple[str, int], ...]
    """(name of a rule, continuation after it)"""
    ends: bool
    """Whether the rule may be complete here."""


class Continuations:
    """The continuations of one grammar. Raises `GrammarError` if a rule is missing."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        # This keeps the nodes alive, which their `id` identifies below.
        self._start = RuleRef(grammar.root)
        self._nodes = [self._start, *_every_node(grammar.rules.values())]
        for node in self._nodes:
            if isinstance(node, RuleRef) and node.name not in grammar.rules:
                raise GrammarError(
                    f"{grammar.source}: there is no rule {node.name!r}, though the grammar needs it"
                    "\nDefine it, or correct the name where it is used."
                )
        self._nullable = _derivable(grammar, self._nodes, _is_empty)
        self._productive = _derivable(grammar, self._nodes, _is_text)
        self._places: list[tuple[Node | None, int, int]] = []
        self._numbers: dict[tuple[int, int, int], int] = {}
        self._rule_of: list[str | None] = []
        self._moves: dict[int, Moves] = {}
        self._begins: dict[str | None, int] = {}

    def begin(self, rule: str | None) -> int:
        """The continuation at the beginning of a rule, or of the whole text for None."""
        if rule not in self._begins:
            self._places.append((None, 0, 0))
            self._rule_of.append(rule)
            node = self._start if rule is None else self._grammar.rules[rule]
            self._begins[rule] = self._number(node, 0, len(self._places) - 1)
        return self._begins[rule]

    def rule_of(self, continuation: int) -> str | None:
        return self._rule_of[continuation]

    def is_nullable(self, rule: str) -> bool:
        return id(self._grammar.rules[rule]) in self._nullable

    def moves(self, continuation: int) -> Moves:
        found = self._moves.get(continuation)
        if found is None:
            found = self._moves[continuation] = self._find_moves(continuation)
        return found

    @property
    def source(self) -> str:
        return self._grammar.source

    @property
    def has_sentences(self) -> bool:
        return id(self._start) in self._productive

    def _number(self, node: Node, done: int, after: int) -> int:
        key = (id(node), done, after)
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._places)
            if number >= MAX_CONTINUATIONS:
                raise GrammarError(
                    f"{self._grammar.source}: rule {self._rule_of[after]!r} repeats too much to be"
                    " recognised\nLower the counts of repetitions that stand inside one another."
                )
            self._places.append((node, done, after))
            self._rule_of.append(self._rule_of[after])
        return number

    def _find_moves(self, continuation: int) -> Moves:
        chars: list[tuple[Literal | CharClass, int, int]] = []
        calls: list[tuple[str, int]] = []
        ends = False
        pending, seen = [continuation], {continuation}
        while pending:
            node, done, after = self._places[pending.pop()]
            inner: list[int] = []
            if node is None:
                ends = True
            elif isinstance(node, Literal):
                if done == len(node.text):
                    inner = [after]
                else:
                    chars.append((node, done, self._number(node, done + 1, after)))
            elif isinstance(node, CharClass):
                chars.append((node, 0, after))
            elif isinstance(node, RuleRef):
                calls.append((node.name, after))
            elif isinstance(node, Sequence):
                if done == len(node.items):
                    inner = [after]
                else:
                    inner = [self._number(node.items[done], 0, self._number(node, done + 1, after))]
            elif isinstance(node, Alternation):
                alive = (option for option in node.options if id(option) in self._productive)
                inner = [self._number(option, 0, after) for option in alive]
            else:
                inner = self._rounds(node, done, after)
            for number in reversed(inner):
                if number not in seen:
                    seen.add(number)
                    pending.append(number)
        return Moves(tuple(chars), tuple(calls), ends)

    def _rounds(self, node: Repeat, done: int, after: int) -> list[int]:
        """The continuations after ``done`` rounds of a repetition: another round, or its end."""
        inner = []
        wanted = node.maximum is None or done < node.maximum
        if wanted and id(node.item) in self._productive:
            # Without an upper bound, all rounds beyond the lower bound are alike.
            rounds = done + 1 if node.maximum is not None else min(done + 1, node.minimum)
            inner.append(self._number(node.item, 0, self._number(node, rounds, after)))
        if done >= node.minimum:
            inner.append(after)
        return inner


def _every_node(bodies: Iterable[Node]) -> Iterator[Node]:
    pending = list(bodies)
    while pending:
        node = pending.pop()
        yield node
        pending += _parts(node)


def _parts(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Sequence):
        return node.items
    if isinstance(node, Alternation):
        return node.options
    return (node.item,) if isinstance(node, Repeat) else ()


def _is_empty(node: Node) -> bool:
    return node == Literal("")


def _is_text(node: Node) -> bool:
    return isinstance(node, Literal) or (isinstance(node, CharClass) and bool(node.positive))


def _derivable(grammar: Grammar, nodes: list[Node], fact: Callable[[Node], bool]) -> set[int]:
    """The ids of the nodes that match some text made only of leaves for which ``fact`` holds.

    Each node waits for a number of its parts. A part that is found wakes the nodes that wait for
    it, so the work is linear in the size of the grammar.
    """
    missing: dict[int, int] = {}
    users: dict[int, list[int]] = defaultdict(list)
    found: list[int] = []
    for node in nodes:
        if id(node) in missing:
            continue
        parts = _parts(node)
        needed = 1
        if isinstance(node, RuleRef):
            parts, needed = (grammar.rules[node.name],), 1
        elif isinstance(node, Sequence):
            needed = len(parts)
        elif isinstance(node, Repeat):
            needed = 1 if node.minimum > 0 else 0
            if node.maximum is not None and node.maximum < node.minimum:
                needed = 2
        elif isinstance(node, Literal | CharClass):
            needed = 0 if fact(node) else 1
        missing[id(node)] = needed
        for part in parts:
            users[id(part)].append(id(node))
        if needed == 0:
            found.append(id(node))
    for number in found:
        for user in users[number]:
            missing[user] -= 1
            if missing[user] == 0:
                found.append(user)
    return set(found)

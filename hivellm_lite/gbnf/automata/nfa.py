"""Rule bodies as nondeterministic automata over bytes and rule names (Thompson's construction).

The states of each part of a body are numbered without gaps, so a repetition copies its item by
shifting numbers. An item that is too large to copy becomes a new rule, which the repetition calls:
``x{0,2000}`` costs 2,000 calls and one ``x``. The costs of nested repetitions then add up instead
of multiplying.

Source: K. Thompson, "Regular Expression Search Algorithm", CACM 11(6), 1968.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from ...errors import GrammarError
from ..build import parts as parts_of
from ..syntax import Alternation, CharClass, Grammar, Literal, Node, Repeat, RuleRef, Sequence
from .utf8 import ByteRange, byte_sequences

__all__ = ["MAX_STATES", "Edge", "Label", "Nfa", "Skip", "rule_nfas"]

MAX_STATES = 100_000
"""States of all rules: a few seconds and 300 MB at most. Published grammars have 10,000."""

LONG_TEXT = 128
"""Bytes from which on a literal is long. A long literal has an edge for each of its first bytes, a
quarter of this number, and one edge for all others. It costs few states, whatever its length, but
literals that begin alike run together only that far."""

LONG_TEXT_IN_LARGE_RULE = 24
"""The same for a literal in a large rule."""

LARGE_RULE = 5_000
"""States from which on a rule is large."""

MAX_COPIED_STATES = 512
"""A repetition whose copies have more states than this calls its item instead."""


@dataclass(frozen=True, slots=True)
class Skip:
    """The label of an edge that reads nothing, and exists if ``rule`` has the empty text."""

    rule: str


Label = int | str | bytes | Skip | None
"""What an edge reads: one of a set of bytes (bit b is byte b), a non-empty text of a rule,
these bytes one after another, or nothing."""

Edge = tuple[Label, int]
"""(label, target state)."""


@dataclass(slots=True)
class Nfa:
    """An automaton. Its texts are the labels of ``edges`` on ways from ``start`` to ``end``."""

    edges: list[list[Edge]] = field(default_factory=list)
    start: int = 0
    end: int = 0

    def add_state(self) -> int:
        self.edges.append([])
        return len(self.edges) - 1

    def copy_states(self, source: list[list[Edge]], shift: int) -> None:
        """Append copies of the states in ``source``, with targets moved by ``shift``."""
        self.edges += [[(label, target + shift) for label, target in edges] for edges in source]


def rule_nfas(grammar: Grammar) -> dict[str, Nfa]:
    """An automaton for every rule that the root can reach.

    Rules made from repeated items are named ``rule{1}``, ``rule{2}`` and so on. Raises
    `GrammarError` for a missing rule and for too many states.
    """
    nfas: dict[str, Nfa] = {}
    pending = [grammar.root]
    n_states = 0
    while pending:
        name = pending.pop()
        if name in nfas:
            continue
        if name not in grammar.rules:
            raise GrammarError(
                f"{grammar.source}: rule {name!r} does not exist\n"
                "Add the rule, or correct the name."
            )
        builder = _Builder(grammar.source, name)
        nfas[name] = builder.build(grammar.rules[name])
        nfas.update(builder.items)
        n_states += len(nfas[name].edges) + sum(len(nfa.edges) for nfa in builder.items.values())
        if n_states > MAX_STATES:
            raise _too_large(grammar.source, name)
        for nfa in (nfas[name], *builder.items.values()):
            pending += [
                label
                for edges in nfa.edges
                for label, _ in edges
                if isinstance(label, str) and label not in nfas
            ]
    return nfas


def _too_large(source: str, rule: str) -> GrammarError:
    return GrammarError(
        f"{source}: the grammar is too large at rule {rule!r}: more than {MAX_STATES:,} states\n"
        "Use smaller repetition counts, or '*' in place of a large upper count."
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A range of states that begins at ``first``, is entered at ``start`` and left at ``end``."""

    first: int
    start: int
    end: int


class _Builder:
    """The automaton of one rule, and of the items that its repetitions call."""

    def __init__(self, source: str, rule: str) -> None:
        self.items: dict[str, Nfa] = {}
        self._source = source
        self._rule = rule
        self._nfa = Nfa()

    def build(self, body: Node) -> Nfa:
        parts: list[_Part] = []
        for node in _children_first(body):
            if len(self._nfa.edges) > MAX_STATES:
                raise _too_large(self._source, self._rule)
            match node:
                case Literal(text):
                    parts.append(self._literal(text.encode()))
                case CharClass():
                    parts.append(self._char_class(node))
                case RuleRef(name):
                    parts.append(self._reference(name))
                case Sequence(items):
                    parts[len(parts) - len(items) :] = [self._sequence(_last(parts, len(items)))]
                case Alternation(options):
                    chosen = _last(parts, len(options))
                    parts[len(parts) - len(options) :] = [self._alternation(chosen)]
                case Repeat(_, minimum, maximum):
                    parts.append(self._repeat(parts.pop(), minimum, maximum))
        self._nfa.start, self._nfa.end = parts[0].start, parts[0].end
        return self._nfa

    def _connect(self, source: int, target: int, label: Label = None) -> None:
        self._nfa.edges[source].append((label, target))

    def _literal(self, text: bytes) -> _Part:
        start = end = self._nfa.add_state()
        is_large = len(self._nfa.edges) > LARGE_RULE
        longest = LONG_TEXT_IN_LARGE_RULE if is_large else LONG_TEXT
        shown = text if len(text) <= longest else text[: longest // 4]
        for byte in shown:
            state = self._nfa.add_state()
            self._connect(end, state, 1 << byte)
            end = state
        if len(shown) < len(text):
            state = self._nfa.add_state()
            self._connect(end, state, text[len(shown) :])
            end = state
        return _Part(start, start, end)

    def _char_class(self, node: CharClass) -> _Part:
        start, end = self._nfa.add_state(), self._nfa.add_state()
        # Sequences that end alike share the states of their end.
        before: dict[tuple[ByteRange, ...], int] = {(): end}
        first_bytes: dict[int, int] = {}
        for sequence in byte_sequences(node.positive):
            for place in range(len(sequence) - 1, 0, -1):
                if sequence[place:] not in before:
                    before[sequence[place:]] = self._nfa.add_state()
                    target = before[sequence[place + 1 :]]
                    self._connect(before[sequence[place:]], target, _bits(sequence[place]))
            target = before[sequence[1:]]
            first_bytes[target] = first_bytes.get(target, 0) | _bits(sequence[0])
        for target, label in first_bytes.items():
            self._connect(start, target, label)
        return _Part(start, start, end)

    def _reference(self, rule: str) -> _Part:
        start, end = self._nfa.add_state(), self._nfa.add_state()
        self._connect(start, end, rule)
        self._connect(start, end, Skip(rule))
        return _Part(start, start, end)

    def _sequence(self, parts: list[_Part]) -> _Part:
        if not parts:
            return self._literal(b"")
        for left, right in pairwise(parts):
            self._connect(left.end, right.start)
        return _Part(parts[0].first, parts[0].start, parts[-1].end)

    def _alternation(self, parts: list[_Part]) -> _Part:
        start, end = self._nfa.add_state(), self._nfa.add_state()
        for part in parts:
            self._connect(start, part.start)
            self._connect(part.end, end)
        return _Part(parts[0].first, start, end)

    def _repeat(self, item: _Part, minimum: int, maximum: int | None) -> _Part:
        states = self._nfa.edges[item.first :]
        copies = max(minimum, 1) if maximum is None else maximum
        if copies == 0:
            del self._nfa.edges[item.first :]
            return self._literal(b"")
        if copies > 1 and copies * len(states) > MAX_COPIED_STATES:
            del self._nfa.edges[item.first :]
            return self._counted_calls(self._as_rule(item, states), minimum, maximum)
        parts = [item]
        for _ in range(copies - 1):
            shift = len(self._nfa.edges) - item.first
            self._nfa.copy_states(states, shift)
            parts.append(_Part(item.first + shift, item.start + shift, item.end + shift))
        start, end = self._nfa.add_state(), self._nfa.add_state()
        before = start
        for done, part in enumerate(parts):
            if done >= minimum:
                self._connect(before, end)
            self._connect(before, part.start)
            before = part.end
        self._connect(before, end)
        if maximum is None:
            self._connect(before, parts[-1].start)
        return _Part(item.first, start, end)

    def _as_rule(self, item: _Part, states: list[list[Edge]]) -> str:
        name = f"{self._rule}{{{len(self.items) + 1}}}"
        nfa = Nfa(start=item.start - item.first, end=item.end - item.first)
        nfa.copy_states(states, -item.first)
        self.items[name] = nfa
        return name

    def _counted_calls(self, rule: str, minimum: int, maximum: int | None) -> _Part:
        """A chain of calls of ``rule``, each of which reads a non-empty text."""
        n_calls = minimum if maximum is None else maximum
        if len(self._nfa.edges) + n_calls > MAX_STATES:
            raise GrammarError(
                f"{self._source}: rule {self._rule!r} repeats too often: {n_calls:,} times\n"
                "Use a smaller count, or '*' in place of a large upper count."
            )
        chain = [self._nfa.add_state() for _ in range(n_calls + 1)]
        end = self._nfa.add_state()
        for done, state in enumerate(chain):
            # If the item may be empty, fewer texts than the minimum are enough.
            self._connect(state, end, None if done >= minimum else Skip(rule))
            if done < n_calls:
                self._connect(state, chain[done + 1], rule)
        if maximum is None:
            self._connect(chain[-1], chain[-1], rule)
        return _Part(chain[0], chain[0], end)


def _children_first(body: Node) -> Iterator[Node]:
    pending: list[tuple[Node, bool]] = [(body, False)]
    while pending:
        node, ready = pending.pop()
        children = () if ready else parts_of(node)
        if children:
            pending.append((node, True))
            pending += [(child, False) for child in reversed(children)]
        else:
            yield node


def _last(parts: list[_Part], count: int) -> list[_Part]:
    return parts[len(parts) - count :]


def _bits(byte_range: ByteRange) -> int:
    first, last = byte_range
    return (1 << (last + 1)) - (1 << first)

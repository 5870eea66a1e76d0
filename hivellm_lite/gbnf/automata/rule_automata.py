"""Turns a grammar into tables: a machine over byte classes and rules for every rule that is called.

1. Every rule body becomes an automaton (``nfa.py``). Calls of rules that match no text
   or the empty text are resolved (``rule_calls.py``).
2. Bytes that no rule distinguishes form one class.
3. Small rules go into their callers (``inlining.py``).
4. Each remaining automaton is made deterministic and minimal (``dfa.py``).
5. All states get one numbering. The rules are ordered so that each rule comes
   before the rules that it can begin with.

A left-recursive grammar has no such order and is refused; ``left_recursion.py``
rewrites it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

from ..budget import Budget
from ..syntax import Grammar
from .chains import Chains
from .dfa import Machine, Symbol, SymbolNfa, to_machine
from .inlining import inlined_rules
from .nfa import Edge, Nfa, rule_nfas
from .rule_calls import resolve_calls, with_loops

__all__ = ["ACCEPT", "RuleAutomata", "build_rule_automata"]

ACCEPT = 0
"""The state after the whole text. No move leaves it."""

ALL_BYTES = (1 << 256) - 1


@dataclass(frozen=True, slots=True)
class RuleAutomata:
    """The machines of a grammar. States count from 1, and `ACCEPT` is 0. Rules count from 0.

    A call is a pair (rule, targets): it reads a non-empty text of the rule, and the caller
    continues at one of the targets. The first state of a rule calls only rules with higher
    numbers.
    """

    byte_classes: bytes
    """The class of each of the 256 bytes, for ``data.translate(byte_classes)``."""
    class_members: tuple[bytes, ...]
    moves: Sequence[Mapping[int, tuple[int, ...]]]
    """The next states, by state and byte class."""
    calls: Sequence[tuple[tuple[int, tuple[int, ...]], ...]]
    final: Sequence[bool]
    """Whether the rule may end in a state."""
    last: Sequence[bool]
    """Whether the rule must end in a state, because nothing leads out of it."""
    first: tuple[int, ...]
    """The first state of each rule."""
    root: int
    """The first state of the root rule."""


def build_rule_automata(grammar: Grammar) -> RuleAutomata:
    """The tables for ``grammar``.

    Raises `GrammarError` for a rule that does not exist, for a grammar without any text, and for
    a grammar that is too large. Raises `LeftRecursionError` for left recursion.
    """
    nfas = rule_nfas(grammar)
    items = nfas.keys() - grammar.rules.keys()
    budget = Budget(grammar.source)
    resolved = resolve_calls(grammar, nfas, budget)
    classes = _byte_classes(resolved)
    inlined = set(inlined_rules(resolved, grammar.root, kept=items))
    return _linked(grammar, classes, _machines(resolved, classes, inlined, grammar.root, budget))


def _byte_classes(nfas: Mapping[str, Nfa]) -> tuple[int, ...]:
    """Disjoint sets of bytes, as bits. Together they contain all bytes."""
    labels: set[int] = set()
    for nfa in nfas.values():
        for edges in nfa.edges:
            for label, _ in edges:
                if isinstance(label, int):
                    labels.add(label)
                elif isinstance(label, bytes):
                    labels.update(1 << byte for byte in label)
    classes = [ALL_BYTES]
    for label in labels:
        if len(classes) == 256:
            break
        parts = [part for known in classes for part in (known & label, known & ~label)]
        classes = [part for part in parts if part]
    return tuple(sorted(classes))


def _machines(
    nfas: Mapping[str, Nfa],
    classes: tuple[int, ...],
    inlined: set[str],
    root: str,
    budget: Budget,
) -> dict[str, Machine]:
    """The machines of the rules that are not inlined, the root first."""
    labels: dict[Symbol, int] = {}
    symbols: list[tuple[Symbol, ...]] = []

    def number(label: Symbol) -> int:
        if label not in labels:
            labels[label] = len(symbols)
            budget.spend(len(classes) if isinstance(label, int) else 1)
            symbols.append(
                (label,)
                if isinstance(label, str | bytes)
                else tuple(n for n, part in enumerate(classes) if part & label)
            )
        return labels[label]

    def machine(name: str) -> Machine:
        nfa = with_loops(_with_inlined(nfas[name], inner), name, budget)
        return to_machine(
            SymbolNfa(
                symbols,
                [[target for label, target in edges if label is None] for edges in nfa.edges],
                [
                    [
                        (number(label), target)
                        for label, target in edges
                        if isinstance(label, int | str | bytes)
                    ]
                    for edges in nfa.edges
                ],
                nfa.start,
                nfa.end,
            ),
            budget,
        )

    used = {
        name: {
            label
            for edges in nfas[name].edges
            for label, _ in edges
            if isinstance(label, str) and label in inlined
        }
        for name in nfas
    }
    inner: dict[str, Nfa] = {}
    for name in TopologicalSorter({name: used[name] for name in inlined}).static_order():
        inner[name] = _as_nfa(machine(name), classes)
    machines: dict[str, Machine] = {}
    pending = [root]
    while pending:
        name = pending.pop()
        if name not in machines:
            machines[name] = machine(name)
            pending += [
                symbol for row in machines[name].moves for symbol in row if isinstance(symbol, str)
            ]
    return machines


def _with_inlined(nfa: Nfa, inner: Mapping[str, Nfa]) -> Nfa:
    """``nfa`` with a copy of the rule in place of each call of a rule in ``inner``."""
    found = Nfa([], nfa.start, nfa.end)
    found.copy_states(nfa.edges, 0)
    for state, edges in enumerate(nfa.edges):
        for place, (label, target) in enumerate(edges):
            if isinstance(label, str) and label in inner:
                shift = len(found.edges)
                found.edges[state][place] = (None, inner[label].start + shift)
                found.copy_states(inner[label].edges, shift)
                found.edges[inner[label].end + shift].append((None, target))
    return found


def _as_nfa(machine: Machine, classes: tuple[int, ...]) -> Nfa:
    nfa = Nfa(start=0, end=len(machine.moves))
    for row, final in zip(machine.moves, machine.final, strict=True):
        bits: dict[int, int] = {}
        edges: list[Edge] = []
        for symbol, targets in row.items():
            for target in targets:
                if isinstance(symbol, str | bytes):
                    edges.append((symbol, target))
                else:
                    bits[target] = bits.get(target, 0) | classes[symbol]
        edges += [(label, target) for target, label in bits.items()]
        if final:
            edges.append((None, nfa.end))
        nfa.edges.append(edges)
    nfa.add_state()
    return nfa


def _linked(
    grammar: Grammar, classes: tuple[int, ...], machines: Mapping[str, Machine]
) -> RuleAutomata:
    numbers: dict[str | bytes, int] = {
        name: number for number, name in enumerate(_callers_first(machines))
    }
    offsets: dict[str, int] = {}
    n_states = 1
    for name in _callers_first(machines):
        offsets[name] = n_states
        n_states += len(machines[name].moves)
    moves: list[dict[int, tuple[int, ...]]] = [{}]
    calls: list[tuple[tuple[int, tuple[int, ...]], ...]] = [()]
    final = [False]
    for name, offset in offsets.items():
        final += machines[name].final
        for row in machines[name].moves:
            linked = [(s, tuple(target + offset for target in t)) for s, t in row.items()]
            moves.append({s: targets for s, targets in linked if isinstance(s, int)})
            # A text is a rule that calls no other, so any higher number will do.
            calls.append(
                tuple(
                    (numbers.setdefault(s, len(numbers)), t)
                    for s, t in linked
                    if not isinstance(s, int)
                )
            )
    class_of = bytearray(256)
    members = [bytes(b for b in range(256) if part >> b & 1) for part in classes]
    for number, part in enumerate(members):
        for byte in part:
            class_of[byte] = number
    last = tuple(f and not m and not c for f, m, c in zip(final, moves, calls, strict=True))
    texts = [name.translate(bytes(class_of)) for name in numbers if isinstance(name, bytes)]
    chains = Chains(n_states, tuple(texts))
    return RuleAutomata(
        byte_classes=bytes(class_of),
        class_members=tuple(members),
        moves=chains.moves(tuple(moves)),
        calls=chains.calls(tuple(calls)),
        final=chains.ends(tuple(final)),
        last=chains.ends(last),
        first=(*offsets.values(), *chains.starts),
        root=offsets[grammar.root],
    )


def _callers_first(machines: Mapping[str, Machine]) -> list[str]:
    """The rules in an order in which each precedes the rules that its texts can begin with."""
    callers: dict[str, set[str]] = {name: set() for name in machines}
    for name, machine in machines.items():
        for symbol in machine.moves[0]:
            if isinstance(symbol, str):
                callers[symbol].add(name)
    return list(TopologicalSorter(callers).static_order())

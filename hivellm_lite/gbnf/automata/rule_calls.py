"""Simplifies the calls between rules before any automaton is built.

A call reads a text that is not empty. If the rule also has the empty text, the
call may be skipped. If the rule has no text at all, the call is removed. If a rule
calls itself as its last action, it starts over instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from ...errors import GrammarError
from ..budget import Budget
from ..syntax import Grammar
from .nfa import Edge, Nfa, Skip

__all__ = ["LeftRecursionError", "resolve_calls", "with_loops"]


class LeftRecursionError(GrammarError):
    """A rule begins with itself. ``cycle`` lists the rules on the way and ends with the first."""

    def __init__(self, source: str, cycle: Sequence[str]) -> None:
        super().__init__(
            f"{source}: left recursion: {' → '.join(cycle)}\nRewrite the rules with repetition."
        )


def resolve_calls(grammar: Grammar, nfas: Mapping[str, Nfa], budget: Budget) -> dict[str, Nfa]:
    """The rules that have a text, without `Skip` labels and calls of rules that have none.

    Raises `GrammarError` if the root has no text, and `LeftRecursionError`.
    """
    with_text = _deriving(nfas, read_bytes=True)
    if grammar.root not in with_text:
        raise GrammarError(
            f"{grammar.source}: no text fits rule {grammar.root!r}: every way through it is "
            "endless\nGive the rules that it uses an alternative without recursion."
        )
    with_empty_text = _deriving(nfas, read_bytes=False)
    resolved = {
        name: with_loops(_resolved(nfa, with_text, with_empty_text), name, budget)
        for name, nfa in nfas.items()
        if name in with_text
    }
    _refuse_left_recursion(grammar.source, resolved)
    return resolved


def with_loops(nfa: Nfa, name: str, budget: Budget) -> Nfa:
    """``nfa`` with an edge back to its start in place of each call of itself at its end."""

    def ends_at(state: int) -> bool:
        seen = {state}
        pending = [state]
        while pending:
            budget.spend(1)
            state = pending.pop()
            for label, target in nfa.edges[state]:
                if label is not None:
                    return False
                if target not in seen:
                    seen.add(target)
                    pending.append(target)
        return nfa.end in seen

    return Nfa(
        [
            [
                (None, nfa.start) if label == name and ends_at(target) else (label, target)
                for label, target in edges
            ]
            for edges in nfa.edges
        ],
        nfa.start,
        nfa.end,
    )


def _deriving(nfas: Mapping[str, Nfa], *, read_bytes: bool) -> frozenset[str]:
    """The rules that have a text, or without ``read_bytes`` the rules with the empty text."""
    done: set[str] = set()
    waiting: dict[str, list[tuple[str, int]]] = {}
    pending = [(name, nfa.start) for name, nfa in nfas.items()]
    seen = set(pending)
    while pending:
        name, state = pending.pop()
        nfa = nfas[name]
        found: list[tuple[str, int]] = []
        if state == nfa.end and name not in done:
            done.add(name)
            found += waiting.pop(name, [])
        for label, target in nfa.edges[state]:
            rule = label.rule if isinstance(label, Skip) else label
            if isinstance(rule, str) and rule not in done:
                waiting.setdefault(rule, []).append((name, target))
            elif read_bytes or not isinstance(rule, int | bytes):
                found.append((name, target))
        for place in found:
            if place not in seen:
                seen.add(place)
                pending.append(place)
    return frozenset(done)


def _resolved(nfa: Nfa, with_text: frozenset[str], with_empty_text: frozenset[str]) -> Nfa:
    """``nfa`` without `Skip` labels, and without edges whose label has no text."""

    def resolve(edges: list[Edge]) -> list[Edge]:
        found: list[Edge] = []
        for label, target in edges:
            if isinstance(label, Skip):
                if label.rule in with_empty_text:
                    found.append((None, target))
            elif label is None or isinstance(label, int | bytes) or label in with_text:
                found.append((label, target))
        return found

    return Nfa([resolve(edges) for edges in nfa.edges], nfa.start, nfa.end)


def _refuse_left_recursion(source: str, nfas: Mapping[str, Nfa]) -> None:
    callers: dict[str, set[str]] = {name: set() for name in nfas}
    for name, nfa in nfas.items():
        seen = {nfa.start}
        pending = [nfa.start]
        while pending:
            for label, target in nfa.edges[pending.pop()]:
                if isinstance(label, str):
                    callers[label].add(name)
                elif label is None and target not in seen:
                    seen.add(target)
                    pending.append(target)
    try:
        TopologicalSorter(callers).prepare()
    except CycleError as error:
        raise LeftRecursionError(source, error.args[1]) from None

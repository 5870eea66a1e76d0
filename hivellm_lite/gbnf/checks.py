"""Finds all problems of a grammar at once, and explains them to its author."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal as OneOf

from .build import normal
from .limits import MAX_DEPTH, MAX_NODES, MAX_REPETITIONS, MAX_RULES
from .printer import print_node
from .rewriting.analysis import (
    circles,
    is_nullable,
    left_corner_graph,
    nodes,
    nullable_rules,
    productive_rules,
    reachable_rules,
    references,
    shortest_circle,
    unit_graph,
)
from .rewriting.bounds import depth
from .rewriting.factoring import factored, options_of
from .syntax import Grammar, Node, Repeat, RuleRef, Sequence

__all__ = ["LLAMA_CPP_REPETITIONS", "Problem", "Severity", "check_grammar"]

LLAMA_CPP_REPETITIONS = 2000
"""The limit ``MAX_REPETITION_THRESHOLD`` in ``src/llama-grammar.cpp`` of llama.cpp."""

Severity = OneOf["error", "repairable", "warning"]

_LLAMA_CPP_NAME = re.compile(r"[A-Za-z0-9-]+")
_ORDER: tuple[Severity, ...] = ("error", "repairable", "warning")


@dataclass(frozen=True)
class Problem:
    """A problem of one rule, or of the whole grammar if ``rule`` and ``line`` are None.

    A grammar with an ``error`` cannot be used. `repair_grammar` rewrites a ``repairable`` one and
    keeps its language. A grammar with a ``warning`` can be used.
    """

    kind: str
    severity: Severity
    rule: str | None
    line: int | None
    message: str
    hint: str


def check_grammar(grammar: Grammar) -> list[Problem]:
    """All problems of a grammar, the worst first, then by line.

    For a grammar beyond ``limits.py`` these are only the limits that it exceeds.
    """
    found = list(_sizes(grammar))
    if not found:
        for check in _CHECKS:
            found += check(grammar)
    return sorted(found, key=lambda problem: (_ORDER.index(problem.severity), problem.line or 0))


def _problem(
    grammar: Grammar, kind: str, severity: Severity, rule: str, message: str, hint: str
) -> Problem:
    return Problem(kind, severity, rule, grammar.lines.get(rule), message, hint)


def _sizes(grammar: Grammar) -> Iterator[Problem]:
    def too_large(rule: str | None, message: str) -> Problem:
        line = None if rule is None else grammar.lines.get(rule)
        return Problem(
            "too-large", "error", rule, line, message, "Describe less, or in more rules."
        )

    if len(grammar.rules) > MAX_RULES:
        yield too_large(None, f"the grammar has more than {MAX_RULES:,} rules")
    left = MAX_NODES
    for name, body in grammar.rules.items():
        left -= sum(1 for _ in nodes(body))
        if left < 0:
            yield too_large(None, f"the grammar has more than {MAX_NODES:,} parts")
            return
        if depth(body) > MAX_DEPTH:
            yield too_large(name, f"rule {name!r} has more than {MAX_DEPTH} levels of parentheses")
        counts = [n.maximum or n.minimum for n in nodes(body) if isinstance(n, Repeat)]
        if max(counts, default=0) > MAX_REPETITIONS:
            yield too_large(name, f"rule {name!r} repeats more than {MAX_REPETITIONS:,} times")


def _missing_rules(grammar: Grammar) -> Iterator[Problem]:
    if grammar.root not in grammar.rules:
        message = f"there is no rule {grammar.root!r} to begin with"
        hint = f"Call the rule for the whole text {grammar.root!r}."
        yield Problem("missing-root", "error", None, None, message, hint)
    for name, body in grammar.rules.items():
        for rule in references(body):
            if rule not in grammar.rules:
                message = f"rule {name!r} needs a rule {rule!r} that is not there"
                hint = "Define it, or correct its name."
                yield _problem(grammar, "undefined-rule", "error", name, message, hint)


def _rules_without_text(grammar: Grammar) -> Iterator[Problem]:
    productive = productive_rules(grammar)
    for name, body in grammar.rules.items():
        if name not in productive and references(body).keys() <= grammar.rules.keys():
            message = f"no text fits rule {name!r}: every way through it is endless"
            severity: Severity = "error" if grammar.root not in productive else "repairable"
            hint = "Give it an option that ends."
            yield _problem(grammar, "unproductive-rule", severity, name, message, hint)


def _unused_rules(grammar: Grammar) -> Iterator[Problem]:
    if grammar.root not in grammar.rules:
        return
    reachable = reachable_rules(grammar)
    for name in grammar.rules:
        if name not in reachable:
            message = f"rule {name!r} is never used"
            hint = "Remove it, or use it in a rule that is."
            yield _problem(grammar, "unused-rule", "warning", name, message, hint)


def _left_recursion(grammar: Grammar) -> Iterator[Problem]:
    graph = left_corner_graph(grammar)
    visible = {
        name: {rule: None for rule, passed in begins.items() if passed is None}
        for name, begins in graph.items()
    }
    for circle in circles(graph):
        direct = [name for name in circle if name in visible[name]]
        inside = {name: {r: None for r in visible[name] if r in circle} for name in circle}
        shown = circles(inside)
        way: tuple[str, ...]
        if direct:
            kind, way, why = "direct", (direct[0], direct[0]), ""
        elif shown:
            kind, way, why = "indirect", shortest_circle(visible, shown[0][0]), ""
        else:
            kind, way = "hidden", shortest_circle(graph, circle[0])
            passed = next(
                node
                for name, following in pairwise(way)
                if (node := graph[name][following]) is not None
            )
            why = f", where {_short(passed)} before it is empty"
        message = f"rule {way[0]!r} begins with itself: {' → '.join(way)}{why}"
        hint = 'Write it with repetition: sum ::= number ("+" number)*.'
        yield _problem(grammar, f"{kind}-left-recursion", "repairable", way[0], message, hint)


def _circular_rules(grammar: Grammar) -> Iterator[Problem]:
    graph = unit_graph(grammar)
    for circle in circles(graph):
        way = shortest_circle(graph, circle[0])
        message = f"rule {way[0]!r} can stand for itself and nothing else: {' → '.join(way)}"
        hint = "Remove that option; it adds no text."
        yield _problem(grammar, "circular-rule", "repairable", way[0], message, hint)


def _ambiguous_recursion(grammar: Grammar) -> Iterator[Problem]:
    for circle in circles(left_corner_graph(grammar)):
        for name in circle:
            for option in options_of(grammar.rules[name]):
                items = option.items if isinstance(option, Sequence) else ()
                first = items[0] if items else None
                if isinstance(first, RuleRef) and first == items[-1] and first.name in circle:
                    message = (
                        f"rule {name!r} has {first.name!r} at both ends, so a chain of them"
                        " can be read in many ways"
                    )
                    hint = 'Write it with repetition: sum ::= number ("+" number)*.'
                    yield _problem(
                        grammar, "ambiguous-recursion", "repairable", name, message, hint
                    )
                    break


def _endless_repetition(grammar: Grammar) -> Iterator[Problem]:
    nullable = nullable_rules(grammar)
    for name, body in grammar.rules.items():
        for node in nodes(body):
            endless = isinstance(node, Repeat) and node.maximum is None
            if endless and isinstance(node, Repeat) and is_nullable(node.item, nullable):
                message = f"rule {name!r} repeats what may be empty: {_short(node)}"
                hint = "Repeat only what has characters: (x | y)*, not (x* y?)*."
                yield _problem(grammar, "endless-repetition", "repairable", name, message, hint)
                break


def _illegal_names(grammar: Grammar) -> Iterator[Problem]:
    for name in grammar.rules:
        if not _LLAMA_CPP_NAME.fullmatch(name):
            message = f"llama.cpp does not read the rule name {name!r}"
            hint = "Use ASCII letters, digits and '-'."
            yield _problem(grammar, "illegal-name", "repairable", name, message, hint)


def _large_repetitions(grammar: Grammar) -> Iterator[Problem]:
    for name, body in grammar.rules.items():
        counts = [n.maximum or n.minimum for n in nodes(body) if isinstance(n, Repeat)]
        if max(counts, default=0) > LLAMA_CPP_REPETITIONS:
            message = f"rule {name!r} repeats {max(counts):,} times, which llama.cpp refuses"
            hint = f"Repeat {LLAMA_CPP_REPETITIONS:,} times at most, or without limit."
            yield _problem(grammar, "large-repetition", "warning", name, message, hint)


def _alike_alternatives(grammar: Grammar) -> Iterator[Problem]:
    for name, body in grammar.rules.items():
        body = normal(body)
        if factored(body) != body:
            message = f"alternatives in rule {name!r} begin alike, and llama.cpp follows both"
            hint = "Join them: x (y | z) for x y | x z."
            yield _problem(grammar, "alike-alternatives", "repairable", name, message, hint)


def _short(node: Node) -> str:
    text = print_node(node)
    return text if len(text) <= 60 else f"{text[:57]}..."


_Check = Callable[[Grammar], Iterator[Problem]]

_CHECKS: tuple[_Check, ...] = (
    _missing_rules,
    _rules_without_text,
    _unused_rules,
    _left_recursion,
    _circular_rules,
    _ambiguous_recursion,
    _endless_repetition,
    _illegal_names,
    _large_repetitions,
    _alike_alternatives,
)

"""Rewrites a grammar so that it can be run. Its language stays exactly the same.

The modules of ``rewriting`` contain the steps. Each explains why it keeps the language.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from .build import alternation, normal, repeat, sequence
from .rewriting.analysis import is_nullable, nullable_rules
from .rewriting.bounds import Allowance
from .rewriting.factoring import factored, loop, looped
from .rewriting.left_recursion import remove_left_recursion
from .rewriting.new_rules import NewRules
from .rewriting.nonempty import NonEmpty
from .rewriting.trimming import trimmed
from .syntax import Alternation, Grammar, Node, Repeat, RuleRef, Sequence

__all__ = ["Repair", "remove_left_recursion", "repair_grammar"]


@dataclass(frozen=True)
class Repair:
    """A grammar with the same language, and one line for each change that names its rules."""

    grammar: Grammar
    changes: tuple[str, ...]


def repair_grammar(grammar: Grammar) -> Repair:
    """The same language in rules that a parser from left to right can follow with few stacks.

    The result has no left recursion of any kind, no endless repetition of parts that may be
    empty, and no rules or options that no text uses. Recursion that only loops becomes
    repetition, and alternatives share no long beginnings. Rules keep their names;
    ``print_grammar`` writes names that llama.cpp reads.

    Raises `GrammarError` if the grammar lacks a rule or has no texts, and if the rules would
    grow beyond ``limits.py``.
    """
    changes: list[str] = []
    grammar = replace(grammar, rules={name: normal(b) for name, b in grammar.rules.items()})
    for step, what in _STEPS:
        changed = step(grammar)
        changes += _differences(grammar.rules, changed.rules, what)
        grammar = changed
    return Repair(grammar, tuple(changes))


def _differences(old: Mapping[str, Node], new: Mapping[str, Node], what: str) -> list[str]:
    changed = [name for name, body in old.items() if name in new and new[name] != body]
    gone = [name for name in old if name not in new]
    added = [name for name in new if name not in old]
    said = [f"{_rules(changed)}: {what}"] if changed else []
    said += [f"{_rules(added)}: new"] if added else []
    return said + ([f"{_rules(gone)}: removed, no text uses it"] if gone else [])


def _rules(names: list[str]) -> str:
    return f"{'rule' if len(names) == 1 else 'rules'} {', '.join(names)}"


def _with_loops(grammar: Grammar) -> Grammar:
    allowance = Allowance(grammar.source, "recursion at its end")
    rules = {
        name: looped(name, body, partial(allowance.spend, rule=name))
        for name, body in grammar.rules.items()
    }
    return replace(grammar, rules=rules)


def _with_full_rounds(grammar: Grammar) -> Grammar:
    """Replace ``(x* y?)*`` by ``(x | y)*``, so that no round of a repetition is empty."""
    nullable = nullable_rules(grammar)
    new = NewRules(grammar)

    def rewritten(node: Node, rule: str) -> Node:
        if isinstance(node, Sequence):
            return sequence(*[rewritten(item, rule) for item in node.items])
        if isinstance(node, Alternation):
            return alternation(*[rewritten(option, rule) for option in node.options])
        if not isinstance(node, Repeat):
            return node
        item = rewritten(node.item, rule)
        if node.maximum is None and is_nullable(item, nullable):
            return loop(nonempty.star_options(item, rule))
        return repeat(item, node.minimum, node.maximum)

    bodies: dict[str, Node] = {}
    allowance = Allowance(grammar.source, "repetition of empty parts")
    nonempty = NonEmpty(bodies, nullable, new.name, allowance)
    # Rules that are already split, ``x ::= x-nonempty?``, need no second name.
    split = {
        name: body.item.name
        for name, body in grammar.rules.items()
        if isinstance(body, Repeat)
        and (body.minimum, body.maximum) == (0, 1)
        and isinstance(body.item, RuleRef)
        and body.item.name not in nullable
    }
    nonempty.names.update(split)
    for name, body in grammar.rules.items():
        bodies[name] = rewritten(body, name)
    for name, body in nonempty.missing_rules(except_for=split.keys()).items():
        bodies[nonempty.name(name)] = body
    return new.placed(bodies)


def _factored(grammar: Grammar) -> Grammar:
    return replace(grammar, rules={name: factored(body) for name, body in grammar.rules.items()})


_STEPS: tuple[tuple[Callable[[Grammar], Grammar], str], ...] = (
    (trimmed, "options left out that have no text"),
    (remove_left_recursion, "left recursion made repetition"),
    (_with_loops, "recursion at the end made repetition"),
    (_with_full_rounds, "repetition of parts that may be empty made one of parts that are not"),
    (_factored, "common beginnings of alternatives joined"),
)

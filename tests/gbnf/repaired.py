"""Judges of repaired grammars."""

from __future__ import annotations

from random import Random

from hivellm_lite.gbnf.earley import Recogniser
from hivellm_lite.gbnf.rewriting.analysis import (
    circles,
    is_nullable,
    left_corner_graph,
    nodes,
    nullable_rules,
    productive_rules,
    reachable_rules,
)
from hivellm_lite.gbnf.syntax import Grammar, Repeat

from .sentences import SentenceGenerator, mutate


def assert_runnable(grammar: Grammar) -> None:
    assert not circles(left_corner_graph(grammar))
    assert reachable_rules(grammar) == productive_rules(grammar) == grammar.rules.keys()
    nullable = nullable_rules(grammar)
    for body in grammar.rules.values():
        for node in nodes(body):
            endless = isinstance(node, Repeat) and node.maximum is None
            assert not (endless and is_nullable(node.item, nullable))


def assert_same_sentences(one: Grammar, other: Grammar, count: int, size: int) -> None:
    """Random sentences of both, and near misses, are judged alike."""
    judges, rng = (Recogniser(one), Recogniser(other)), Random(1)
    for generator in (SentenceGenerator(one), SentenceGenerator(other)):
        for _ in range(count):
            text = generator.generate(rng, rng.randint(1, size))
            assert all(judge.recognise(text) for judge in judges), text
            near = mutate(text, rng)
            assert judges[0].recognise(near) == judges[1].recognise(near), near

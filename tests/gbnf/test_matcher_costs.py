"""The costs of an automaton: bounded caches, and no growth with rounds and levels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.gbnf import matcher
from hivellm_lite.gbnf.automata.rule_automata import build_rule_automata
from hivellm_lite.gbnf.matcher import (
    Automaton,
)
from hivellm_lite.gbnf.parser import parse_grammar

from .compiled import AMBIGUOUS, JSON, after, automaton


def test_deep_nesting_is_entered_and_left():
    found = automaton(JSON)
    deep = after(found, b'[{"a":' * 1_500 + b"1")
    assert not deep.accepting
    assert after(found, b'[{"a":' * 1_500 + b"1" + b"}]" * 1_500).accepting
    assert deep.advance(b"}]" * 1_500 + b"]") is None


def cached_for(described: str, data: bytes) -> int:
    found = automaton(described)
    assert after(found, data).accepting
    return found.n_cached_items


@pytest.mark.parametrize(
    ("described", "unit"),
    [
        (AMBIGUOUS["sums"], b"+n*(n+n)"),
        (AMBIGUOUS["lists of lists"], b"a"),
        ('root ::= "n" op root | "n" (op "n")* | "n"\nop ::= "+"', b"+n"),
        (JSON.replace("root ::=", "old ::=") + 'root ::= "n" ("+" value)*', b'+{"a":[1,{}]}'),
    ],
)
def test_what_repeats_costs_nothing_more(described, unit):
    begin = b"a" if unit == b"a" else b"n"
    short, long = (cached_for(described, begin + unit * n) for n in (20, 2_000))
    assert long == short


@pytest.mark.parametrize(
    ("described", "opening", "closing"),
    [
        (JSON, b'[{"a":', b"}]"),
        (AMBIGUOUS["sums"], b"n*(", b")+n"),
        ('root ::= "(" root ")" | "(" root ")" "." | "n"', b"(", b")"),
    ],
)
def test_each_level_of_nesting_costs_the_same(described, opening, closing):
    middle = b"1" if described == JSON else b"n"
    first, second, third = (
        cached_for(described, opening * n + middle + closing * n) for n in (10, 20, 30)
    )
    assert third - second == second - first


@pytest.mark.parametrize(
    "described",
    [
        'root ::= "a" root "a" | "a" root | "a" root root | "b"',
        'root ::= "a" root | "a" root root | "b"*',
    ],
)
def test_the_worst_ambiguity_stays_polynomial(described):
    costs = [cached_for(described, b"a" * n + b"b" * n) for n in (16, 32, 64)]
    assert costs[1] < 9 * costs[0]
    assert costs[2] < 9 * costs[1]


def test_ambiguity_without_measure_is_refused_before_it_takes_long(monkeypatch):
    monkeypatch.setattr(matcher, "MAX_RETURNS", 1_000)
    found = automaton('root ::= "a" root | "a" root root | "b"*')
    assert found.start.advance(b"a" * 10) is not None
    with pytest.raises(GrammarError, match=r"too ambiguous: .* in over 1,000 ways"):
        found.start.advance(b"a" * 300)
    assert automaton(JSON).accepts(b"[" * 1_500 + b"]" * 1_500)


def test_caches_are_bounded_and_configurations_outlive_them():
    text = b'[{"a":' * 12 + b"1" + b"}]" * 12
    found = Automaton(build_rule_automata(parse_grammar(JSON)), max_cached_items=80)
    kept = [found.start]
    for n in range(len(text)):
        kept.append(kept[-1].advance(text[n : n + 1]))
        assert found.n_cached_items <= 80
    for n, configuration in enumerate(kept):
        assert configuration.advance(text[n:]).accepting
        assert configuration.advance(b"\x01") is None


def test_an_automaton_may_be_shared_by_threads():
    found = Automaton(build_rule_automata(parse_grammar(JSON)), max_cached_items=300)

    def judge(depth: int) -> bool:
        opened = b'[{"a":' * depth + b"[true"
        closed = b"]" + b"}]" * depth
        return found.accepts(opened + closed) and not found.accepts(opened + closed[1:])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(judge, [n % 20 for n in range(60)]))

"""Grammars that could grow without bound in a repair stay small or are refused."""

from __future__ import annotations

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.gbnf.build import alternation, optional, sequence
from hivellm_lite.gbnf.earley import Recogniser
from hivellm_lite.gbnf.repair import repair_grammar
from hivellm_lite.gbnf.syntax import Grammar, Literal, Node, RuleRef

from .repaired import assert_runnable


def every_pair(count: int) -> Grammar:
    """Each rule begins with each."""
    names = ["root", *(f"x{number}" for number in range(1, count))]
    rules: dict[str, Node] = {
        name: alternation(Literal(name), *(sequence(RuleRef(n), Literal(name + n)) for n in names))
        for name in names
    }
    return Grammar(rules, source="pairs.gbnf")


def test_rules_that_all_begin_with_one_another_are_untangled_up_to_a_size():
    assert_runnable(repair_grammar(every_pair(6)).grammar)
    with pytest.raises(GrammarError, match=r"^pairs\.gbnf: rule '\w+' grows beyond"):
        repair_grammar(every_pair(40))


def test_too_many_rules_that_begin_with_one_another_are_refused():
    rules = {
        f"x{n}": alternation(sequence(RuleRef(f"x{(n + 1) % 600}"), Literal("a")), Literal("b"))
        for n in range(600)
    }
    with pytest.raises(GrammarError, match="600 rules begin with one another"):
        repair_grammar(Grammar(rules, root="x0"))


def test_groups_too_deep_to_be_wrapped_in_another_are_refused():
    deep: Node = Literal("a")
    for _ in range(32):
        deep = alternation(sequence(optional(deep), Literal("a")), Literal("b"))
    with pytest.raises(GrammarError, match="rule 'root' has more than 64 levels"):
        repair_grammar(Grammar({"root": alternation(sequence(RuleRef("root"), deep), deep)}))


def test_beginnings_alike_at_every_length_are_joined_to_a_bounded_depth():
    options = [sequence(*[RuleRef("x")] * length) for length in range(1, 60)]
    grammar = Grammar({"root": alternation(*options), "x": Literal("a")})
    repaired = repair_grammar(grammar).grammar
    judge = Recogniser(repaired)
    assert [judge.recognise("a" * length) for length in (0, 1, 59, 60)] == [
        False,
        True,
        True,
        False,
    ]


def test_long_options_that_end_alike_do_not_multiply():
    many: list[Node] = [RuleRef("root")] * 3000 + [Literal("b")]
    body = alternation(sequence(*[Literal("a")] * 3000, alternation(*many)), Literal("c"))
    with pytest.raises(GrammarError, match="grows beyond"):
        repair_grammar(Grammar({"root": body}))


def test_long_options_after_a_choice_of_left_recursions_do_not_multiply():
    many = alternation(*[sequence(RuleRef("root"), Literal(str(n))) for n in range(500)])
    body = alternation(sequence(many, *[Literal("a")] * 500), Literal("c"))
    with pytest.raises(GrammarError, match="grows beyond"):
        repair_grammar(Grammar({"root": body}))

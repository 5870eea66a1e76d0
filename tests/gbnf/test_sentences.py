"""Random sentences: of the language, of bounded size, of every kind; near misses near."""

from __future__ import annotations

from random import Random

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.gbnf.earley import Recogniser
from hivellm_lite.gbnf.syntax import (
    EMPTY,
    Alternation,
    CharClass,
    Grammar,
    Literal,
    Node,
    Repeat,
    RuleRef,
    Sequence,
)

from .sentences import SentenceGenerator, generate, mutate

DEAD = Sequence((Literal("x"), RuleRef("dead")))
VALUE = RuleRef("root")
NESTED: dict[str, Node] = {
    "root": Alternation(
        (
            Sequence((VALUE, Literal("+"), VALUE)),
            Sequence((Literal("("), VALUE, Literal(")"))),
            Sequence((RuleRef("ws"), VALUE)),
            CharClass(((48, 57),)),
            Repeat(Literal("ab"), 2, 4),
            RuleRef("dead"),
        )
    ),
    "ws": Alternation((EMPTY, Sequence((Literal(" "), RuleRef("ws"))), RuleRef("ws"))),
    "dead": DEAD,
}


@pytest.mark.parametrize("size", [1, 20, 200])
def test_sentences_are_of_the_language_and_no_longer_than_asked(size):
    grammar = Grammar(NESTED)
    judge, generator, rng = Recogniser(grammar), SentenceGenerator(grammar), Random(1)
    for _ in range(100):
        text = generator.generate(rng, size)
        assert judge.recognise(text), text
        assert len(text) <= size


def test_every_part_of_a_grammar_is_used():
    generator, rng = SentenceGenerator(Grammar(NESTED)), Random(2)
    written = "".join(generator.generate(rng) for _ in range(200))
    assert set("+() 0123456789ab") <= set(written)
    assert "x" not in written


def test_repetitions_reach_both_bounds():
    generator, rng = SentenceGenerator(Grammar({"root": Repeat(Literal("a"), 2, 4)})), Random(3)
    assert {generator.generate(rng) for _ in range(100)} == {"aa", "aaa", "aaaa"}


def test_the_same_seed_gives_the_same_sentence():
    grammar = Grammar(NESTED)
    assert generate(grammar, Random(4)) == generate(grammar, Random(4))


def test_characters_outside_ascii_come_up_too():
    generator, rng = SentenceGenerator(Grammar({"root": CharClass((), negated=True)})), Random(5)
    assert any(ord(generator.generate(rng)) > 0x7F for _ in range(100))


@pytest.mark.parametrize(
    "root",
    [
        RuleRef("dead"),
        CharClass(()),
        Repeat(Repeat(Repeat(Literal("a"), 2000, 2000), 2000, 2000), 2000, None),
    ],
)
def test_a_grammar_without_short_sentences_is_refused(root):
    with pytest.raises(GrammarError, match=r"^test\.gbnf: rule 'root' describes no text"):
        SentenceGenerator(Grammar({"root": root, "dead": DEAD}, source="test.gbnf"))


def test_a_missing_rule_is_named():
    with pytest.raises(GrammarError, match="there is no rule 'gone'"):
        generate(Grammar({"root": RuleRef("gone")}), Random(6))


def test_mutations_stay_near_and_differ_mostly():
    rng, text = Random(7), '{"a": [1, 2]}'
    mutants = [mutate(text, rng) for _ in range(200)]
    assert sum(mutant != text for mutant in mutants) > 150
    assert all(text.startswith(m[:1]) or text.endswith(m[-1:]) for m in mutants)


def test_the_empty_text_can_be_mutated():
    rng = Random(8)
    assert any(mutate("", rng) for _ in range(20))

"""The reference recogniser: right on every kind of grammar, linear where it can be, bounded."""

from __future__ import annotations

import itertools
import re

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.gbnf import continuations, earley
from hivellm_lite.gbnf.earley import END_OF_TEXT, Recognition, explain, recognise, valid_prefix
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


def ref(name: str) -> RuleRef:
    return RuleRef(name)


def seq(*items: Node | str) -> Sequence:
    return Sequence(tuple(Literal(item) if isinstance(item, str) else item for item in items))


def alt(*options: Node | str) -> Alternation:
    return Alternation(tuple(Literal(item) if isinstance(item, str) else item for item in options))


def grammar(root: Node, **rules: Node) -> Grammar:
    return Grammar({"root": root, **rules}, source="test.gbnf")


SPACES = Repeat(Literal(" "), 0, None)

REGULAR = {
    "direct left recursion": (grammar(alt(seq(ref("root"), "b"), "a")), "ab*"),
    "right recursion": (grammar(alt(seq("a", ref("root")), "b")), "a*b"),
    "both recursions": (grammar(alt(seq(ref("root"), "b", ref("root")), "a")), "a(ba)*"),
    "indirect left recursion": (
        grammar(ref("x"), x=alt(seq(ref("y"), "b"), "a"), y=alt(ref("x"), seq(ref("x"), "a"))),
        "a(a?b)*",
    ),
    "hidden left recursion": (
        grammar(alt(seq(ref("ws"), ref("root"), "b"), "a"), ws=Repeat(Literal(" "), 0, None)),
        " *(?:ab+)|a",
    ),
    "a cycle": (grammar(alt(ref("x"), "a"), x=alt(ref("root"), seq(ref("x"), ref("root")))), "a+"),
    "an empty cycle": (grammar(alt(ref("x"), EMPTY), x=alt(ref("root"), "b")), "b?"),
    "nothing around the recursion": (
        grammar(alt(seq(ref("no"), ref("root"), ref("no")), "a"), no=Literal("")),
        "a",
    ),
    "nothing at the end": (grammar(seq("a", ref("no"), ref("no")), no=alt("", "b")), "ab?b?"),
    "repeated nothing": (grammar(Repeat(Repeat(SPACES, 0, None), 1, None)), " *"),
    "a counted repetition": (grammar(Repeat(alt("a", "ab"), 1, 3)), "(ab?){1,3}"),
    "a repetition with a lower bound only": (grammar(Repeat(Literal("a"), 2, None)), "a{2,}"),
    "an option that cannot end": (
        grammar(alt("a", seq("b", ref("dead"))), dead=seq("b", ref("dead"))),
        "a",
    ),
    "a class that is empty": (grammar(alt("a", seq("b", CharClass(())))), "a"),
    "a repetition that cannot be": (grammar(alt("a", Repeat(Literal("b"), 2, 1))), "a"),
    "no option that ends": (grammar(seq("a", ref("root"))), "(?!)"),
}


@pytest.mark.parametrize("name", REGULAR)
def test_short_texts_are_judged_as_a_regular_expression_judges_them(name):
    described, pattern = REGULAR[name]
    texts = ["".join(chars) for n in range(6) for chars in itertools.product("ab ", repeat=n)]
    sentences = [text for text in texts if re.fullmatch(pattern, text)]
    judge = earley.Recogniser(described)
    assert [text for text in texts if judge.recognise(text)] == sentences
    # Whatever begins a short sentence is a valid prefix.
    for text in sentences:
        assert all(judge.valid_prefix(text[:end]) for end in range(len(text) + 1))


def test_brackets_match_as_often_as_they_open():
    brackets = grammar(alt(seq("(", ref("root"), ")", ref("root")), EMPTY))
    texts = ["".join(chars) for n in range(9) for chars in itertools.product("()", repeat=n)]
    for text in texts:
        depths = list(itertools.accumulate(1 if char == "(" else -1 for char in text))
        balanced = min(depths, default=0) >= 0 and (depths or [0])[-1] == 0
        assert recognise(brackets, text) == balanced
        assert valid_prefix(brackets, text) == (min(depths, default=0) >= 0)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT a", Recognition(True, 8, ("[a-z]", '","', END_OF_TEXT))),
        ("SELECT ", Recognition(False, 7, ("[a-z]",))),
        ("SELEKT a", Recognition(False, 4, ('"CT "',))),
        ("SELECT a,", Recognition(False, 9, ("[a-z]",))),
        ("SELECT a, b", Recognition(False, 9, ("[a-z]",))),
        ("", Recognition(False, 0, ('"SELECT "',))),
    ],
)
def test_the_furthest_position_and_what_could_follow_there(text, found):
    letters = Repeat(CharClass(((97, 122),)), 1, None)
    described = grammar(seq("SELECT ", ref("n"), Repeat(seq(",", ref("n")), 0, None)), n=letters)
    assert explain(described, text) == found


@pytest.mark.parametrize(
    ("node", "shown"),
    [
        (Literal('a"\\\n\x00'), '"a\\"\\\\\\n\\x00"'),
        (CharClass(((10, 10), (93, 93), (97, 99))), "[\\n\\]a-c]"),
        (CharClass(((34, 34),), negated=True), '[^"]'),
        (CharClass((), negated=True), "."),
    ],
)
def test_what_could_follow_is_shown_as_grammars_write_it(node, shown):
    assert explain(grammar(node), "").expected == (shown,)


def test_what_leads_nowhere_is_not_expected():
    dead_end = grammar(alt("a", seq("b", ref("dead"))), dead=seq("c", ref("dead")))
    assert explain(dead_end, "b") == Recognition(False, 0, ('"a"',))


def test_a_grammar_without_sentences_has_no_prefixes():
    assert not valid_prefix(grammar(ref("root")), "")


def test_characters_outside_the_basic_plane_are_one_character():
    assert recognise(grammar(CharClass(((0x1F600, 0x1F64F),))), "\U0001f600")


def test_surrogates_are_no_characters():
    assert not recognise(grammar(CharClass((), negated=True)), "\ud800")


@pytest.mark.parametrize(
    "rules",
    [
        {"root": seq(ref("item"), ref("rest")), "rest": alt(seq(",", ref("root")), "")},
        {"root": alt(seq(ref("root"), ",", ref("item")), ref("item"))},
        {"root": alt(ref("item"), seq(ref("item"), ",", ref("root")))},
    ],
)
def test_lists_cost_the_same_for_every_item(monkeypatch, rules):
    monkeypatch.setattr(earley, "MAX_STEPS", 150_000)
    described = grammar(**rules, item=Repeat(Literal("x"), 1, None))
    assert recognise(described, ",".join(["xxx"] * 2000))


def test_counted_repetitions_cost_what_the_text_uses(monkeypatch):
    monkeypatch.setattr(continuations, "MAX_CONTINUATIONS", 100)
    digits = Repeat(CharClass(((48, 57),)), 1, 100_000)
    assert recognise(grammar(digits), "0123456789")


def test_ambiguity_beyond_bounds_is_an_error(monkeypatch):
    monkeypatch.setattr(earley, "MAX_STEPS", 50_000)
    sums = grammar(alt(seq(ref("root"), "+", ref("root")), "a"))
    with pytest.raises(GrammarError, match=r"^test\.gbnf: too ambiguous .* \d+ characters"):
        recognise(sums, "a" + "+a" * 500)


def test_repetitions_inside_repetitions_are_bounded(monkeypatch):
    monkeypatch.setattr(continuations, "MAX_CONTINUATIONS", 1000)
    nested = Repeat(Repeat(Repeat(Literal("a"), 0, 1000), 0, 1000), 0, 1000)
    with pytest.raises(GrammarError, match=r"^test\.gbnf: rule 'root' repeats too much"):
        recognise(grammar(nested), "a")


@pytest.mark.parametrize("described", [grammar(ref("gone")), Grammar({"a": EMPTY}, root="gone")])
def test_a_missing_rule_is_named(described):
    with pytest.raises(GrammarError, match="there is no rule 'gone'"):
        recognise(described, "")


def test_one_node_may_stand_in_several_places():
    pair = seq("a", "b")
    described = grammar(seq(pair, ref("x"), pair), x=pair)
    assert recognise(described, "ababab")
    assert not recognise(described, "abab")

"""Repair keeps the language and all that is fine, and removes what cannot be run."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.gbnf.build import alternation, literal, repeat, sequence
from hivellm_lite.gbnf.earley import Recogniser
from hivellm_lite.gbnf.parser import parse_grammar
from hivellm_lite.gbnf.printer import print_grammar
from hivellm_lite.gbnf.repair import remove_left_recursion, repair_grammar
from hivellm_lite.gbnf.rewriting.analysis import (
    productive_rules,
)
from hivellm_lite.gbnf.rewriting.factoring import looped
from hivellm_lite.gbnf.syntax import Grammar, Literal, Node, RuleRef

from ..support.native_grammars import readable
from .nasty_grammars import NASTY
from .repaired import assert_runnable, assert_same_sentences

SHORT_TEXTS = ["".join(chars) for n in range(5) for chars in itertools.product("abc", repeat=n)]

QUERIES = r"""
root ::= "SELECT" ws items ws "FROM" ws name (ws "WHERE" ws value)?
items ::= item | item ws "," ws items
item ::= value | "*"
value ::=
    compared |
    joined |
    sum |
    call |
    name | number | "(" ws root ws ")"
compared ::= value ws op ws value
op ::= "=" | "<" | "<=" | "IS" | "IS" ws "NOT"
joined ::= value ws ("AND" | "OR") ws value | "NOT" ws value
sum ::= value ws [+*/-] ws value
call ::= name "(" ws args? ws ")"
args ::= value | value ws "," ws args
name ::= letter | letter name
letter ::= [a-z_]
number ::= digit | digit number
digit ::= [0-9]
ws ::= [ \t]*
"""

DOCUMENTS = r"""
root ::= ws value ws
value ::= record | list | text | number | "yes" | "no"
record ::= "{" ws "}" | "{" ws fields ws "}"
fields ::= field | field ws "," ws fields
field ::= text ws ":" ws value
list ::= "[" ws "]" | "[" ws values ws "]"
values ::= value | value ws "," ws values
text ::= "\"" characters "\""
characters ::= "" | character characters
character ::= [^"\\] | "\\" escape
escape ::= ["\\n] | "u" hex hex hex hex
hex ::= [0-9a-f]
number ::= whole fraction exponent | whole fraction | whole exponent | whole
whole ::= digits | "-" digits
digits ::= digit | digit digits
digit ::= [0-9]
fraction ::= "." digits
exponent ::= "e" sign digits
sign ::= "+" | "-" | ""
ws ::= "" | " " ws | "\n" ws
"""


@pytest.mark.parametrize("name", NASTY)
def test_repair_keeps_every_short_text_and_random_long_ones(name):
    grammar = parse_grammar(NASTY[name])
    repaired = repair_grammar(grammar).grammar
    assert_runnable(repaired)
    before, after = Recogniser(grammar), Recogniser(repaired)
    for text in SHORT_TEXTS:
        assert before.recognise(text) == after.recognise(text), text
    assert_same_sentences(grammar, repaired, count=10, size=40)


@pytest.mark.parametrize("name", NASTY)
def test_repairing_twice_changes_nothing_more(name):
    repaired = repair_grammar(parse_grammar(NASTY[name])).grammar
    assert repair_grammar(repaired).changes == ()


@pytest.mark.parametrize("text", [QUERIES, DOCUMENTS], ids=["queries", "documents"])
def test_repair_keeps_the_language_of_real_formats(text):
    grammar = parse_grammar(text)
    repaired = repair_grammar(grammar).grammar
    assert_runnable(repaired)
    assert_same_sentences(grammar, repaired, count=60, size=120)


def random_node(rng: Random, depth: int) -> Node:
    kind = rng.random()
    if depth == 0 or kind < 0.25:
        return literal(rng.choice(["a", "b", "ab", ""]))
    if kind < 0.55:
        return RuleRef(rng.choice(["root", "x", "y", "z"]))
    parts = [random_node(rng, depth - 1) for _ in range(rng.randint(2, 3))]
    if kind < 0.75:
        return sequence(*parts)
    if kind < 0.9:
        return alternation(*parts)
    return repeat(parts[0], *rng.choice([(0, None), (1, None), (0, 1), (2, 3), (2, None)]))


def test_repair_keeps_the_language_of_random_grammars():
    texts = ["".join(chars) for n in range(5) for chars in itertools.product("ab", repeat=n)]
    repaired_grammars = 0
    for seed in range(60):
        rng = Random(seed)
        rules = {
            name: alternation(*(random_node(rng, 3) for _ in range(rng.randint(1, 3))))
            for name in ["root", "x", "y", "z"]
        }
        grammar = Grammar(rules)
        if "root" not in productive_rules(grammar):
            continue
        repaired = repair_grammar(grammar).grammar
        assert_runnable(repaired)
        before, after = Recogniser(grammar), Recogniser(repaired)
        judged = [(text, before.recognise(text), after.recognise(text)) for text in texts]
        assert [case for case in judged if case[1] != case[2]] == [], f"seed {seed}"
        repaired_grammars += 1
    assert repaired_grammars > 40


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('root ::= root "+" n | n\nn ::= [0-9]+', 'root ::= n ("+" n)*\nn ::= [0-9]+\n'),
        (
            'root ::= root op root | "not" root | n\nop ::= "+" | "-"\nn ::= [0-9]+',
            'root ::= root-operand (op root-operand)*\nroot-operand ::= "not"* n\n'
            'op ::= "+" | "-"\nn ::= [0-9]+\n',
        ),
        (
            'root ::= sum | not | n\nsum ::= root "+" root\nnot ::= "!" root\nn ::= [0-9]+',
            'root ::= root-operand ("+" root-operand)*\nroot-operand ::= "!"* n\nn ::= [0-9]+\n',
        ),
        ('root ::= n | n "," root\nn ::= [0-9]+', 'root ::= n ("," n)*\nn ::= [0-9]+\n'),
        ('root ::= n ("," root)?\nn ::= [0-9]+', 'root ::= n ("," n)*\nn ::= [0-9]+\n'),
        ('root ::= "" | [a-z] root | "\\n" root', "root ::= [\\na-z]*\n"),
        ("root ::= d | d root\nd ::= [0-9]", "root ::= d+\nd ::= [0-9]\n"),
        (
            'root ::= "(" ws ")" | "(" ws root ws ")"\nws ::= [ ]*',
            'root ::= "(" ws (")" | root ws ")")\nws ::= [ ]*\n',
        ),
        (
            'root ::= ws root "a" | "b"\nws ::= [ ]*',
            'root ::= (ws-nonempty root "a" | "b") "a"*\nws-nonempty ::= [ ]+\n',
        ),
        ('root ::= ("a"* "b"?)*', "root ::= [ab]*\n"),
        ('root ::= "a" | x\nx ::= "b" x\ny ::= "c"', 'root ::= "a"\n'),
    ],
)
def test_repaired_rules_stay_readable(before, after):
    assert print_grammar(repair_grammar(parse_grammar(before)).grammar) == after


@pytest.mark.parametrize(
    "text",
    [
        'root ::= "a" root "b" | ""',
        'root ::= ("yes" | "no") ws\nws ::= [ ]*',
        'root ::= "IS" | "IS NOT" | "<" | "<="\n',
        'root ::= a? b | [0-9]{2,4}\na ::= "+" | "-" | ""\nb ::= "x" root',
    ],
)
def test_a_grammar_without_fault_is_left_as_it_is(text):
    grammar = parse_grammar(text)
    repair = repair_grammar(grammar)
    assert repair.grammar == grammar
    assert repair.changes == ()


def test_changes_name_the_rules():
    text = 'root ::= root "+" x | x\nx ::= d | d x\nd ::= [0-9]\nold ::= "o"'
    assert repair_grammar(parse_grammar(text)).changes == (
        "rule old: removed, no text uses it",
        "rule root: left recursion made repetition",
        "rule x: recursion at the end made repetition",
    )


def test_new_rules_stand_after_the_rule_they_come_from_and_have_its_line():
    grammar = parse_grammar(
        'root ::= x x-operand\nx ::= x "+" x | "-" x | y\nx-operand ::= "z"\ny ::= "1"'
    )
    repaired = remove_left_recursion(grammar)
    assert list(repaired.rules) == ["root", "x", "x-operand-2", "x-operand", "y"]
    assert repaired.lines["x-operand-2"] == repaired.lines["x"] == 2


def test_left_recursion_alone_leaves_the_rest_alone():
    grammar = parse_grammar("root ::= d | d root\nd ::= [0-9]")
    assert remove_left_recursion(grammar) == grammar


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('root ::= "a" root', r"^<grammar>: no text fits rule 'root'"),
        ("root ::= gone", r"^<grammar>: there is no rule 'gone'"),
        ('other ::= "a"', r"^<grammar>: there is no rule 'root'"),
    ],
)
def test_a_grammar_that_means_nothing_is_refused(text, message):
    with pytest.raises(GrammarError, match=message):
        repair_grammar(parse_grammar(text))


def test_a_prefix_operator_behind_many_rules_keeps_its_texts():
    rules: dict[str, Node] = {
        f"x{n}": alternation(sequence(Literal("a"), RuleRef(f"x{n + 1}")), Literal("b"))
        for n in range(40)
    }
    rules["x40"] = RuleRef("root")
    rules["root"] = alternation(
        sequence(RuleRef("root"), Literal("c"), RuleRef("x0")), Literal("d")
    )
    grammar = Grammar(rules)
    repaired = repair_grammar(grammar).grammar
    assert_runnable(repaired)
    assert_same_sentences(grammar, repaired, count=30, size=300)


def test_a_rule_without_another_option_than_itself_has_no_loop():
    body = sequence(Literal("a"), RuleRef("x"))
    assert looped("x", body, lambda nodes: None) == body


def test_llama_cpp_takes_every_repaired_grammar(tiny_model):
    texts = {**NASTY, "queries": QUERIES, "documents": DOCUMENTS}
    refused = []
    for name, text in texts.items():
        printed = print_grammar(repair_grammar(parse_grammar(text)).grammar)
        if not readable(tiny_model, printed):
            refused.append(name)
    assert refused == []

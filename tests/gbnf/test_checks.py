"""Checks: each fault is found, named, placed and told from the others; good grammars have none."""

from __future__ import annotations

import pytest

from hivellm_lite.gbnf.build import repeat
from hivellm_lite.gbnf.checks import Problem, check_grammar
from hivellm_lite.gbnf.limits import MAX_DEPTH, MAX_NODES, MAX_REPETITIONS, MAX_RULES
from hivellm_lite.gbnf.parser import parse_grammar
from hivellm_lite.gbnf.repair import repair_grammar
from hivellm_lite.gbnf.syntax import EMPTY, Alternation, Grammar, Literal, Node, Repeat, Sequence

from .nasty_grammars import NASTY


def kinds(text: str) -> list[tuple[str, str, str | None]]:
    found = check_grammar(parse_grammar(text))
    return [(problem.kind, problem.severity, problem.rule) for problem in found]


@pytest.mark.parametrize(
    ("text", "kind", "severity", "rule"),
    [
        ("root ::= gone", "undefined-rule", "error", "root"),
        ('start ::= "a"', "missing-root", "error", None),
        ('root ::= "a" root', "unproductive-rule", "error", "root"),
        ('root ::= "a" | x\nx ::= "b" x', "unproductive-rule", "repairable", "x"),
        ('root ::= "a"\nx ::= "b"', "unused-rule", "warning", "x"),
        ('root ::= root "a" | "b"', "direct-left-recursion", "repairable", "root"),
        ('root ::= x "a" | "b"\nx ::= root "c"', "indirect-left-recursion", "repairable", "root"),
        ('root ::= [ ]* root "a" | "b"', "hidden-left-recursion", "repairable", "root"),
        ('root ::= ("a" | "b"?)+', "endless-repetition", "repairable", "root"),
        ('root ::= a_b\na_b ::= "a"', "illegal-name", "repairable", "a_b"),
        ('root ::= "a"{0,2001}', "large-repetition", "warning", "root"),
        ('root ::= "a"{2001,}', "large-repetition", "warning", "root"),
        ('root ::= x "a" | x "b"\nx ::= "x"', "alike-alternatives", "repairable", "root"),
        ('root ::= x | x "," root\nx ::= "x"', "alike-alternatives", "repairable", "root"),
    ],
)
def test_each_fault_is_found_alone(text, kind, severity, rule):
    assert kinds(text) == [(kind, severity, rule)]


def test_recursion_at_both_ends_is_left_recursion_and_ambiguous():
    text = 'root ::= sum | "1"\nsum ::= root "+" root'
    assert kinds(text) == [
        ("indirect-left-recursion", "repairable", "root"),
        ("ambiguous-recursion", "repairable", "sum"),
    ]


def test_a_rule_that_is_itself_is_left_recursion_and_circular():
    assert kinds('root ::= root | "a"') == [
        ("direct-left-recursion", "repairable", "root"),
        ("circular-rule", "repairable", "root"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        'root ::= "a" root "b" | ""',
        'root ::= (x | "no") ws\nx ::= "IS" | "IS NOT" | "<" | "<="\nws ::= [ ]*',
        'root ::= [0-9]{2,2000} ("," root)?',
    ],
)
def test_a_good_grammar_has_no_problems(text):
    assert check_grammar(parse_grammar(text)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('root ::= a "x"\na ::= b | "y"\nb ::= root', "root → a → b → root"),
        ('root ::= ws x "a" | "b"\nx ::= root | "c"\nws ::= [ ]*', "where ws before it is empty"),
        ('root ::= ("a" | "b")? root "c" | "d"', 'where ("a" | "b")? before it is empty'),
    ],
)
def test_left_recursion_is_shown_with_its_way(text, message):
    assert message in check_grammar(parse_grammar(text))[0].message


def test_problems_have_lines_and_come_worst_first():
    text = 'root ::= x a_b gone\nold ::= "a"\nx ::= x "b" | "c"\na_b ::= "d"'
    found = [(problem.severity, problem.line) for problem in check_grammar(parse_grammar(text))]
    assert found == [("error", 1), ("repairable", 3), ("repairable", 4), ("warning", 2)]


def test_a_problem_says_all_there_is_to_say():
    assert check_grammar(parse_grammar('root ::= (" "*)* "a"?{2,}')) == [
        Problem(
            kind="endless-repetition",
            severity="repairable",
            rule="root",
            line=1,
            message="rule 'root' repeats what may be empty: (\"a\"?){2,}",
            hint="Repeat only what has characters: (x | y)*, not (x* y?)*.",
        )
    ]


def test_a_long_part_is_cut_in_a_message():
    words = " ".join(f'"word{n}"?' for n in range(50))
    message = check_grammar(parse_grammar(f"root ::= ({words})*"))[0].message
    assert len(message) < 120
    assert message.endswith("...")


def nested(levels: int) -> Node:
    node: Node = Literal("a")
    for _ in range(levels):
        node = Alternation((Sequence((node, Literal("a"))), Literal("b")))
    return node


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"root": nested(MAX_DEPTH + 2)}, "more than 64 levels of parentheses"),
        ({"root": Repeat(Literal("a"), 0, MAX_REPETITIONS + 1)}, "repeats more than 10,000 times"),
        ({"root": repeat(Literal("a"), MAX_REPETITIONS + 1)}, "repeats more than 10,000 times"),
        ({"root": Sequence((EMPTY,) * MAX_NODES)}, "more than 50,000 parts"),
        ({f"x{n}": EMPTY for n in range(MAX_RULES + 1)}, "more than 10,000 rules"),
    ],
)
def test_a_grammar_beyond_the_limits_is_an_error_and_not_looked_into(rules, message):
    (problem,) = check_grammar(Grammar(rules))
    assert (problem.kind, problem.severity) == ("too-large", "error")
    assert message in problem.message


@pytest.mark.parametrize("name", NASTY)
def test_nothing_repairable_is_left_after_repair(name):
    repaired = repair_grammar(parse_grammar(NASTY[name])).grammar
    left = {problem.kind for problem in check_grammar(repaired)}
    assert left <= {"illegal-name"}

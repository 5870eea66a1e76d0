"""Facts about rules: empty, productive, reachable, what begins with what; in linear time."""

from __future__ import annotations

import pytest

from hivellm_lite.gbnf.parser import parse_grammar
from hivellm_lite.gbnf.printer import print_node
from hivellm_lite.gbnf.rewriting.analysis import (
    circles,
    left_corner_graph,
    nullable_rules,
    productive_rules,
    reachable_rules,
    references,
    shortest_circle,
    unit_graph,
)
from hivellm_lite.gbnf.syntax import (
    EMPTY,
    Alternation,
    CharClass,
    Grammar,
    Literal,
    Node,
    RuleRef,
    Sequence,
)

FACTS = parse_grammar(r"""
root ::= ws word more? end
ws ::= [ ]*
word ::= letter+ | "(" root ")"
letter ::= [a-z]
more ::= ("," ws){0,3} none
none ::= "" | none none
end ::= none ws | "." | dead
dead ::= "x" dead | gone
unused ::= ws letter
""")


def test_nullable_rules():
    assert nullable_rules(FACTS) == {"ws", "more", "none", "end"}


def test_productive_rules():
    assert productive_rules(FACTS) == FACTS.rules.keys() - {"dead"}


def test_a_class_without_characters_has_no_text():
    empty = Grammar({"root": CharClass(()), "half": Sequence((Literal("a"), CharClass(())))})
    assert productive_rules(empty) == set()


def test_reachable_rules():
    assert reachable_rules(FACTS) == FACTS.rules.keys() - {"unused"}


def test_nothing_is_reachable_without_a_root():
    assert reachable_rules(Grammar({"a": EMPTY})) == set()


def test_references_come_once_in_order():
    assert list(references(parse_grammar('root ::= (b | a b)* "c" a').rules["root"])) == ["b", "a"]


def test_left_corners_tell_what_is_passed_over():
    begins = left_corner_graph(FACTS)["root"]
    shown = {name: passed and print_node(passed) for name, passed in begins.items()}
    assert shown == {"ws": None, "word": "ws"}


def test_a_left_corner_that_is_also_seen_at_once_passes_over_nothing():
    graph = left_corner_graph(parse_grammar('root ::= "a"? x | x "b"\nx ::= "x"'))
    assert graph["root"] == {"x": None}


@pytest.mark.parametrize(
    ("body", "units"),
    [
        ("x", ["x"]),
        ('x "a"', []),
        ("x e y", []),
        ("e x e", ["x"]),
        ("e e", ["e"]),
        ('x* | "a" | y+', ["x", "y"]),
        ("x{2}", []),
        ("e{2}", ["e"]),
    ],
)
def test_units_are_rules_beside_which_everything_may_be_empty(body, units):
    grammar = parse_grammar(f'root ::= {body}\nx ::= "x"\ny ::= "y"\ne ::= "e"?')
    assert sorted(unit_graph(grammar)["root"]) == units


def test_circles_are_the_strongly_connected_parts():
    names = {"a": "b", "b": "ca", "c": "d", "d": "ce", "e": "f", "f": "f", "g": "a"}
    graph = {name: dict.fromkeys(following) for name, following in names.items()}
    assert circles(graph) == [("a", "b"), ("c", "d"), ("f",)]
    assert shortest_circle(graph, "b") == ("b", "a", "b")
    assert shortest_circle(graph, "f") == ("f", "f")
    assert shortest_circle(graph, "g") == ()


def test_long_chains_of_rules_need_no_stack():
    count = 5000
    rules: dict[str, Node] = {f"x{n}": RuleRef(f"x{n + 1}") for n in range(count)}
    rules[f"x{count}"] = Alternation((EMPTY, Sequence((RuleRef("x0"), Literal("a")))))
    chain = Grammar(rules, root="x0")
    assert nullable_rules(chain) == productive_rules(chain) == reachable_rules(chain) == set(rules)
    graph = left_corner_graph(chain)
    assert [len(circle) for circle in circles(graph)] == [count + 1]
    assert len(shortest_circle(graph, "x0")) == count + 2

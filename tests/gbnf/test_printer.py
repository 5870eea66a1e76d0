r"""Printed grammars: read back as they were, and by llama.cpp, whatever is in them."""

from __future__ import annotations

import random

import pytest

from hivellm_lite.gbnf.build import (
    ANY,
    NOTHING,
    alternation,
    char_class,
    literal,
    normal,
    repeat,
    sequence,
)
from hivellm_lite.gbnf.parser import parse_grammar
from hivellm_lite.gbnf.printer import print_grammar, print_node
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

from ..support.native_grammars import accepts, readable
from .sentences import generate
from .test_parser import JSON, SQL

A, B, X = Literal("a"), Literal("b"), RuleRef("x")


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (EMPTY, '""'),
        (Literal(""), '""'),
        (A, '"a"'),
        (X, "x"),
        (RuleRef("snake_case"), "snake_case"),
        (Sequence((A, X)), '"a" x'),
        (Alternation((A, X)), '"a" | x'),
        (Alternation((A, EMPTY)), '"a" | ""'),
        (Alternation((Sequence((A, X)), B)), '"a" x | "b"'),
        (Sequence((Alternation((A, B)), X)), '("a" | "b") x'),
        (Repeat(A, 0, None), '"a"*'),
        (Repeat(A, 1, None), '"a"+'),
        (Repeat(A, 0, 1), '"a"?'),
        (Repeat(A, 3, 3), '"a"{3}'),
        (Repeat(A, 3, None), '"a"{3,}'),
        (Repeat(A, 0, 3), '"a"{0,3}'),
        (Repeat(Sequence((A, X)), 0, 1), '("a" x)?'),
        (Repeat(Alternation((A, X)), 2, 4), '("a" | x){2,4}'),
        (Repeat(Repeat(A, 2, 2), 0, None), '("a"{2})*'),
        (Sequence((Repeat(A, 0, 1), Repeat(X, 0, 1))), '"a"? x?'),
        (Sequence((Sequence((A,)), Alternation((X,)))), '"a" x'),
    ],
)
def test_nodes_have_no_more_parentheses_than_they_need(node, text):
    assert print_node(node) == text


@pytest.mark.parametrize(
    ("characters", "text"),
    [
        ("it's [x] | # ^-", "it's [x] | # ^-"),
        ('\\ "', r"\\ \""),
        ("\n\r\t", r"\n\r\t"),
        ("\0\x1b\x7f\x85", r"\x00\x1B\x7F\x85"),
        ("é あ ½ €", "é あ ½ €"),
        ("\u00a0\u200b\u2028\ufeff\u0301", r"\xA0\u200B\u2028\uFEFF\u0301"),
        ("😀", r"\U0001F600"),
    ],
)
def test_literals_escape_what_cannot_be_seen(characters, text):
    assert print_node(Literal(characters)) == f'"{text}"'
    assert parse_grammar(f'root ::= "{text}"').rules["root"] == Literal(characters)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (ANY, "."),
        (NOTHING, r"[^\x00-\U0010FFFF]"),
        (char_class([(0x61, 0x7A), (0x5F, 0x5F)]), "[_a-z]"),
        (char_class([(0x61, 0x62)]), "[ab]"),
        (char_class([(0x61, 0x63)], negated=True), "[^a-c]"),
        (char_class([(0x2D, 0x2D), (0x61, 0x61)]), "[a-]"),
        (char_class([(0x2D, 0x2D)], negated=True), "[^-]"),
        (char_class([(0x2B, 0x2D)]), r"[+-\x2D]"),
        (char_class([(0x2C, 0x2D)]), "[,-]"),
        (char_class([(0x2D, 0x39)]), r"[\x2D-9]"),
        (char_class([(0x5E, 0x5E)]), r"[\x5E]"),
        (char_class([(0x2D, 0x2D), (0x5E, 0x5E)]), r"[\x5E-]"),
        (char_class([(0x21, 0x21), (0x5E, 0x5E)]), "[!^]"),
        (char_class([(0x5E, 0x5E)], negated=True), "[^^]"),
        (char_class([(0x5B, 0x5D)]), r"[[-\]]"),
        (char_class([(0x5C, 0x5C)]), r"[\\]"),
        (char_class([(0, 0x1F), (0x22, 0x22)]), r'[\x00-\x1F"]'),
        (char_class([(0x3041, 0x10FFFF)]), r"[ぁ-\U0010FFFF]"),
        (CharClass(((7, 9), (1, 8))), r"[\x01-\t]"),
    ],
)
def test_classes_are_read_back_as_the_same_characters(node, text):
    assert print_node(node) == text
    assert parse_grammar(f"root ::= {text}").rules["root"] == normal(node)


def test_the_root_comes_first_and_is_called_root():
    grammar = parse_grammar(
        'word ::= "a" root main\nroot ::= "r"\nmain ::= word | main-2\nmain-2 ::= .', root="main"
    )
    assert print_grammar(grammar) == (
        'root ::= word | main-2\nword ::= "a" root-2 root\nroot-2 ::= "r"\nmain-2 ::= .\n'
    )


def test_names_that_llama_cpp_does_not_read_become_similar_ones():
    grammar = parse_grammar(
        "root ::= a_b a-b a__b größe _ unknown_name\n"
        'a-b-2 ::= "2"\na_b ::= "_"\na-b ::= "-"\na__b ::= "__"\ngröße ::= "g"\n_ ::= "u"\n'
    )
    assert print_grammar(grammar) == (
        "root ::= a-b-3 a-b a--b gruf6udfe - unknown-name\n"
        'a-b-2 ::= "2"\na-b-3 ::= "_"\na-b ::= "-"\na--b ::= "__"\n'
        'gruf6udfe ::= "g"\n- ::= "u"\n'
    )


def test_new_names_are_no_longer_than_the_reader_takes():
    names = ["日本語" * 60 + end for end in "一二三"]
    rules: dict[str, Node] = {"root": sequence(*map(RuleRef, names)), **dict.fromkeys(names, A)}
    text = print_grammar(Grammar(rules))
    assert len(parse_grammar(text).rules) == 4
    assert print_grammar(parse_grammar(text)) == text


def test_a_rule_without_a_name_gets_one():
    assert print_grammar(Grammar({"root": RuleRef(""), "": A})) == 'root ::= rule\nrule ::= "a"\n'


def test_without_a_root_no_other_rule_takes_its_name():
    assert print_grammar(Grammar({"root": A}, root="start")) == 'root-2 ::= "a"\n'


def test_a_long_alternation_has_a_line_for_each_option():
    options = [f'"option number {i}" x' for i in range(5)]
    grammar = parse_grammar("root ::= " + "|".join(options) + '\nx ::= ("y")')
    assert print_grammar(grammar) == ("root ::=\n  " + " |\n  ".join(options) + '\nx ::= "y"\n')


def test_str_of_a_grammar_is_its_text():
    assert str(parse_grammar('root ::= ("a")')) == 'root ::= "a"\n'


def test_trees_deeper_than_the_reader_takes_are_printed():
    node: Node = A
    for _ in range(5_000):
        node = sequence(B, alternation(node, X))
    assert print_node(node).count("(") == 5_000


class Gardener:
    """Random trees. Names: a rule uses later ones only, so there is no recursion."""

    TEXTS = ("", "a", "SELECT", '"\\', "\n\t\0", "é😀\u200b", "]^-[", "#|()*")
    CODES = (*map(ord, '\0\n!"-[\\]^`a'), 0xE9, 0x3042, 0xD7FF, 0xE000, 0x1F600, 0x10FFFF)

    def __init__(self, seed: int, *, tidy: bool) -> None:
        self.rng = random.Random(seed)
        self.tidy = tidy  # only nodes in normal form, none that llama.cpp sees as endless

    def grammar(self) -> Grammar:
        names = ["start", "root", "a_b", "a-b", "x1", "ünï"][: self.rng.randint(1, 6)]
        rules = {}
        for place, name in enumerate(names):
            rules[name] = self.node(3, names[place + 1 :])
        return Grammar(rules, root="start")

    def node(self, depth: int, names: list[str]) -> Node:
        rng = self.rng
        kind = rng.randrange(6 if depth else 3)
        if kind == 0:
            text = rng.choice(self.TEXTS)
            return literal(text) if self.tidy else Literal(text)
        if kind == 1:
            return self.characters()
        if kind == 2:
            return RuleRef(rng.choice(names)) if names else A
        parts = [self.node(depth - 1, names) for _ in range(rng.randint(1, 4))]
        if kind == 3:
            return sequence(*parts) if self.tidy else Sequence(tuple(parts))
        if kind == 4:
            return alternation(*parts) if self.tidy else Alternation(tuple(parts))
        minimum = rng.randrange(3)
        maximum = rng.choice([None, minimum, minimum + 1, minimum + 3])
        if self.tidy:
            # What may be empty must not be repeated without end: llama.cpp calls it left recursion.
            return repeat(sequence(B, parts[0]), minimum, maximum)
        return Repeat(parts[0], minimum, maximum)

    def characters(self) -> CharClass:
        chosen = [sorted(self.rng.choices(self.CODES, k=2)) for _ in range(self.rng.randint(1, 4))]
        ranges = [(first, last if self.rng.random() < 0.5 else first) for first, last in chosen]
        return char_class(ranges, negated=self.rng.random() < 0.3)


@pytest.mark.parametrize("tidy", [True, False])
def test_what_is_printed_is_read_back_and_printed_the_same(tidy):
    for seed in range(250):
        grammar = Gardener(seed, tidy=tidy).grammar()
        text = print_grammar(grammar)
        again = parse_grammar(text)
        assert print_grammar(again) == text
        assert len(again.rules) == len(grammar.rules)
        for before, after in zip(grammar.rules.values(), again.rules.values(), strict=True):
            assert print_shape(after) == print_shape(before)
            assert normal(after) == after


def print_shape(node: Node) -> str:
    """The text of a node with all names the same."""
    return print_node(without_names(node))


def without_names(node: Node) -> Node:
    match node:
        case RuleRef():
            return X
        case Sequence(items):
            return Sequence(tuple(map(without_names, items)))
        case Alternation(options):
            return Alternation(tuple(map(without_names, options)))
        case Repeat(item, minimum, maximum):
            return Repeat(without_names(item), minimum, maximum)
        case _:
            return node


@pytest.mark.parametrize("text", [JSON, SQL])
def test_realistic_grammars_keep_their_rules(text):
    grammar = parse_grammar(text)
    again = parse_grammar(print_grammar(grammar))
    assert list(again.rules) == [name.replace("_", "-") for name in grammar.rules]
    if "_stmt" not in text:
        assert again == grammar


def test_llama_cpp_reads_what_is_printed(tiny_model):
    for seed in range(120):
        text = print_grammar(Gardener(seed, tidy=True).grammar())
        assert readable(tiny_model, text), text


@pytest.mark.parametrize(
    ("text", "accepted", "refused"),
    [
        ('"a\\"\\\\\\n\\x41é\\u3042" ["\\\\]', 'a"\\\nAéあ"', 'a"\\\nAéあa'),
        ("[+-]", "-", ","),
        (r"[+-\x2D]", ",", "."),
        (r"[\^!]", "^", "a"),
        (r"[\]!]", "]", "["),
        ("[^^-]", "a", "-"),
        ("[^^-]", "!", "^"),
        (".", "あ", ""),
        ('("a"{2}){2}', "aaaa", "aaa"),
        ('("a" | "b" "c"?){,2}', "bca", "aaa"),
        ('"a" | ' + " | ".join(f'"a long option, number {i}"' for i in range(9)), "a", "b"),
        ("a_b a-b\na_b ::= 'x'\na-b ::= 'y'", "xy", "yx"),
        ("'x' [^\\x00-\\U0010FFFF] | 'y'", "y", "x"),
    ],
)
def test_printed_grammars_mean_the_same_to_llama_cpp(tiny_model, text, accepted, refused):
    printed = print_grammar(parse_grammar(f"root ::= {text}"))
    assert accepts(tiny_model, printed, accepted)
    assert not accepts(tiny_model, printed, refused)


def test_llama_cpp_takes_every_sentence_of_a_printed_grammar(tiny_model):
    rng = random.Random(3)
    grammar = parse_grammar(JSON)
    printed = print_grammar(grammar)
    for _ in range(20):
        sentence = generate(grammar, rng)
        assert accepts(tiny_model, JSON, sentence), sentence
        assert accepts(tiny_model, printed, sentence), sentence

"""Grammars at the limits are read; beyond them, and for hostile ones, there is a message."""

from __future__ import annotations

import pickle

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.gbnf.limits import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NAME,
    MAX_NODES,
    MAX_REPETITIONS,
    MAX_RULES,
)
from hivellm_lite.gbnf.parser import parse_grammar
from hivellm_lite.gbnf.printer import print_grammar


def padded(size: int) -> str:
    """A grammar of that many bytes."""
    grammar = 'root ::= "a"\n'
    return grammar + "#" * (size - len(grammar))


def nested(depth: int) -> str:
    """Parentheses, each around all kinds of nodes."""
    return "root ::= " + '("b" | "a" ' * depth + '"x"' + ")" * depth


AT_THE_LIMIT = {
    "bytes": lambda over: padded(MAX_BYTES + over),
    "rules": lambda over: "".join(f'r{i} ::= "a"\n' for i in range(MAX_RULES + over)),
    "parts": lambda over: "root ::= " + ". " * (MAX_NODES + over),
    "parentheses": lambda over: nested(MAX_DEPTH + over),
    "operators": lambda over: 'root ::= "a"' + "{2}" * (MAX_DEPTH + over),
    "operators in parentheses": lambda over: f"{nested(MAX_DEPTH - 9)}".replace(
        '"x"', '"x"' + "{2}" * (9 + over)
    ),
    "operators after parentheses": lambda over: nested(MAX_DEPTH - 9) + "{2}" * (9 + over),
    "operators on all levels": lambda over: (
        "root ::= " + "(" * 32 + '"a"' + "){2}" * 32 + "{2}" * over
    ),
    "repetitions": lambda over: f'root ::= "a"{{0,{MAX_REPETITIONS + over}}}',
    "least repetitions": lambda over: f'root ::= "a"{{{MAX_REPETITIONS + over},}}',
    "name": lambda over: f'{"n" * (MAX_NAME + over)} ::= "a"',
}


@pytest.mark.parametrize("what", AT_THE_LIMIT)
def test_at_the_limit_a_grammar_is_read_and_one_more_is_refused(what):
    assert parse_grammar(AT_THE_LIMIT[what](0)).rules
    with pytest.raises(GrammarError, match=r"\n.+"):
        parse_grammar(AT_THE_LIMIT[what](1))


def test_bytes_are_those_of_utf_8():
    with pytest.raises(GrammarError, match="bytes"):
        parse_grammar("#" + "é" * (MAX_BYTES // 2))


@pytest.mark.parametrize("text", ["#" * 50_000_000, b"\xff" * 50_000_000])
def test_a_huge_text_is_refused_unread(text):
    with pytest.raises(GrammarError, match=r"^big: .* more than 1,048,576 bytes, the limit\n"):
        parse_grammar(text, source="big")


def test_the_deepest_trees_can_be_compared_hashed_shown_and_copied():
    first, second = parse_grammar(nested(MAX_DEPTH)), parse_grammar(nested(MAX_DEPTH))
    assert first == second
    assert hash(first.rules["root"]) == hash(second.rules["root"])
    assert repr(first) == repr(second)
    assert pickle.loads(pickle.dumps(first)) == first
    assert print_grammar(first) == print_grammar(second)


@pytest.mark.parametrize(
    "text",
    [
        "root ::= " + "(" * 20_000,
        "root ::= " + "(" * 20_000 + '"a"' + ")" * 20_000,
        'root ::= "a"' + "*" * 100_000,
        'root ::= "a"{' + " " * 500_000,
        'root ::= "a"{' + "1" * 500_000,
        'root ::= "a"{' + "1" * 500_000 + "}",
        'root ::= "a"{1' + " " * 200_000 + "," + " " * 200_000 + ";",
        'root ::= "a' + "\\" * 400_001,
        "root ::= [" + "a-" * 100_000,
        "r" * 500_000 + " ::= .",
        "root ::= " + "<" * 500_000,
        " " * 500_000,
        "\n" * 500_000,
    ],
    ids=lambda text: f"{text[:14]!r}…",
)
def test_a_hostile_text_is_refused_with_a_short_message(text):
    with pytest.raises(GrammarError) as caught:
        parse_grammar(text)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "text",
    [
        "#\n" * 200_000 + "root ::= .",
        "\r\n" * 200_000 + "root ::= .",
        "root ::= .{" + "0" * 500_000 + "2}",
        'root ::= "' + "a" * 1_000_000 + '"',
        'root ::= "a"\n' * 5_000,
    ],
    ids=lambda text: f"{text[:14]!r}…",
)
def test_a_long_text_that_means_little_is_read(text):
    assert list(parse_grammar(text).rules) == ["root"]

"""The automaton says of every expression what Python's own engine says."""

from __future__ import annotations

import re
import warnings
from random import Random

import pytest
from hivellm_lite.converters.peft.regex_automaton import (
    MAX_TEXT,
    Automaton,
    Budget,
    UnsuitablePattern,
)

TEXTS = (
    "",
    "a",
    "b",
    "ab",
    "aa",
    "aab",
    "a.b",
    "A",
    "abab",
    "é.É",
    "1a",
    "a\n",
    "_a.",
    "a.a.a",
    "\n",
)

ATOMS = (
    *("a", "b", ".", "A", "_", "é", "É", "1", r"\w", r"\d", "[ab]", "[^a]", r"\.", "[a-b.]"),
    *(r"\b", r"\B", "^", "$", r"\A", r"\Z", r"[^\w]", r"\W", r"\n", ""),
)

COUNTS = ("*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{2,3}", "{0,300}")


def expression(random: Random, depth: int) -> str:
    kind = random.randrange(9 if depth else 1)
    if kind < 2:
        return random.choice(ATOMS)
    inner = expression(random, depth - 1)
    if kind < 4:
        return inner + expression(random, depth - 1)
    if kind == 4:
        return f"(?:{inner}|{expression(random, depth - 1)})"
    if kind < 7:
        return f"(?:{inner}){random.choice(COUNTS)}"
    if kind == 7:
        return f"(?{random.choice(['i', 'a', 's', 'm', 'i-s', 'x'])}:{inner})"
    return f"(?{random.choice(['=', '!', '<=', '<!'])}{inner})"


def test_random_expressions_match_as_in_python() -> None:
    random, compared = Random(7), 0
    for _ in range(1_000):
        key = rf"(.*\.)?({expression(random, 2)})$"
        try:
            expected = re.compile(key)
        except re.error:  # a look-behind of no fixed width
            continue
        automaton = Automaton.compile(key, Budget(10**9))
        for text in TEXTS:
            assert automaton.matches(text) == (expected.match(text) is not None), (key, text)
            compared += 1
    assert compared > 10_000


@pytest.mark.parametrize(
    "pattern", ["a)|(b", "a|b", "a", "", "(?i:AB)", "^a", "b$", "(?!)", "(?=ab)a"]
)
def test_a_match_need_not_reach_the_end_of_the_text(pattern: str) -> None:
    try:
        expected = re.compile(pattern)
    except re.error:
        with pytest.raises(UnsuitablePattern, match="is malformed"):
            Automaton.compile(pattern, Budget(1_000))
        return
    automaton = Automaton.compile(pattern, Budget(10_000))
    for text in TEXTS:
        assert automaton.matches(text) == (expected.match(text) is not None), text


def test_what_an_expression_may_take_is_bounded() -> None:
    automaton = Automaton.compile("(?:.|..|(?=.).)*!", Budget(1_000))
    with pytest.raises(UnsuitablePattern, match="takes too long"):
        automaton.matches("ab" * (MAX_TEXT // 2))


def test_a_text_longer_than_counts_are_told_apart_is_refused() -> None:
    with pytest.raises(UnsuitablePattern, match="text of over 256"):
        Automaton.compile("a*", Budget(10_000)).matches("a" * 257)


def test_python_warnings_about_an_expression_reach_nobody() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Automaton.compile("[[a]", Budget(10_000)).matches("[")


@pytest.mark.parametrize(
    ("pattern", "name"), [("(?>a)b", "an atomic group"), ("a*+b", "a possessive quantifier")]
)
def test_what_gives_nothing_back_is_refused_by_name(pattern: str, name: str) -> None:
    try:
        re.compile(pattern)
    except re.error:
        name = "is malformed"  # before Python 3.11
    with pytest.raises(UnsuitablePattern, match=name):
        Automaton.compile(pattern, Budget(1_000))

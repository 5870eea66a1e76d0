"""Trees of patterns describe what Python's search finds, where both dialects agree."""

from __future__ import annotations

import re
from itertools import product

import pytest

from hivellm_lite.gbnf.earley import Recogniser
from hivellm_lite.gbnf.syntax import Grammar, RuleRef
from hivellm_lite.json_schema.strings.languages import check_pattern
from hivellm_lite.json_schema.strings.lengths import length_range, within
from hivellm_lite.json_schema.strings.pattern_parser import MAX_EXPANDED, MAX_PATTERN
from hivellm_lite.json_schema.strings.patterns import UnsupportedPattern, parse_pattern

PATTERNS = [
    "",
    "a",
    "ab|ba",
    "^a",
    "b$",
    "^ab$",
    "^a|b$",
    "^(a|b)$",
    "^(?:a|^b)",
    "(a$|b$)",
    "^$",
    "^",
    "$",
    "^^a$$",
    "a*",
    "^a*$",
    "^a+b?$",
    "^(ab)*$",
    "^(a|ab)(b|)$",
    "^[ab]{2}$",
    "^[^a]{1,2}$",
    "a{2,}",
    "^a{0}b$",
    "^(a{1,2}){2}$",
    "^.$",
    r"^\w\d$",
    r"\s",
    r"^[\d\s]+$",
    r"^\x61\u0062$",
    r"[a\-1]b",
    "[a-]1",
    "^(a(b(1)?)?)?$",
    "()",
    "a||b",
    "^(|)*a$",
]

ALPHABET = "ab1\n"


def texts(longest: int) -> list[str]:
    return ["".join(chars) for n in range(longest + 1) for chars in product(ALPHABET, repeat=n)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_same_strings_as_a_search(pattern):
    recogniser = Recogniser(Grammar({"root": parse_pattern(pattern)}))
    # Python's "$" also matches in front of a line end that ends the text.
    searched = re.compile(pattern.replace("$", r"\Z"))
    for text in texts(4):
        assert recogniser.recognise(text) == bool(searched.search(text)), text


@pytest.mark.parametrize(
    "pattern",
    ["^a*$", "^ab*$", "^(ab){1,3}$", "^a{2,}|b$", "^[ab]$", "^1(a|ab)$", "^(|){2}a$", "a1"],
)
@pytest.mark.parametrize("bounds", [(0, 2), (1, None), (2, 3), (3, 3), (4, 4)])
def test_lengths_keep_the_strings_within_them(pattern, bounds):
    tree = parse_pattern(pattern)
    shortened = within(tree, *bounds)
    if shortened is None:
        assert pattern in ("^a{2,}|b$", "a1")
        return
    whole = Recogniser(Grammar({"root": tree}))
    kept = Recogniser(Grammar({"root": shortened}))
    for text in texts(4):
        fits = bounds[0] <= len(text) <= (bounds[1] if bounds[1] is not None else 9)
        assert kept.recognise(text) == (whole.recognise(text) and fits), text


def test_length_of_a_tree():
    assert length_range(parse_pattern("^a{2,3}(b|cd)$")) == (3, 5)
    assert length_range(parse_pattern("a")) == (1, None)
    with pytest.raises(ValueError, match="rule 'x' is not known"):
        length_range(RuleRef("x"))


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?i)a", "special group"),
        (r"\p{Script=Latin}", "the property 'Script=Latin'"),
        (r"\pL", "without a property in braces"),
        ("(?<=(?=a)b)c", "look-ahead within look-behind"),
        ("(?=a)*", "repeated anchor"),
        (r"(a)\1", r"the escape \1"),
        ("^*", "repeated anchor"),
        ("a*+", "possessive"),
        ("[]a]", "begins with a bracket"),
        (r"[a-\d]", "between classes"),
        (r"\ud800", "surrogate"),
        ("(" * 21 + ")" * 21, "over 20 groups"),
        (f"a{{{MAX_EXPANDED + 1}}}", "characters"),
        ("(((a{100}){100}){100}){100}", "characters"),
        ("a" * (MAX_PATTERN + 1), "characters"),
    ],
)
def test_unsupported_patterns_say_why(pattern, reason):
    with pytest.raises(UnsupportedPattern, match=re.escape(reason)):
        check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(a", "not closed at character 2"),
        ("a)", "closes nothing at character 1"),
        ("[a", "class that is not closed"),
        ("[b-a]", "runs backwards"),
        ("*a", "nothing to repeat"),
        ("a**", "nothing to repeat"),
        ("{2}", "nothing to repeat"),
        ("a{3,2}", "counts down"),
        ("a\\", "backslash at the end"),
        (r"\x4", "hexadecimal"),
        (r"\u{110000}", "hexadecimal"),
    ],
)
def test_wrong_patterns_say_where(pattern, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_pattern(pattern)

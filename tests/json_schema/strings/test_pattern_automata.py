"""Automata of patterns with look-around accept what a search finds, in both dialects."""

from __future__ import annotations

import re
from itertools import product

import pytest

from hivellm_lite.json_schema.shapes import String, Values
from hivellm_lite.json_schema.strings.characters import property_named, spaces, words
from hivellm_lite.json_schema.strings.formats import FORMATS, WHOLE_FORMATS, WIDE_FORMATS
from hivellm_lite.json_schema.strings.languages import in_string, string_automaton
from hivellm_lite.json_schema.strings.pattern_automata import pattern_automaton

PATTERNS = [
    "^(?!a)",
    "^(?!.*bb)[ab]*$",
    "(?=a)b|a(?=b)b",
    "a(?!b)",
    r"\ba\b",
    r"\Ba",
    r"a\B",
    "(?<=a)b",
    "(?<!a)b",
    "^((?!ab).)*$",
    "(^a|b)1",
    "a(b|^c|$)",
    "^(?=.*a)(?=.*b)(?=.*1).{3,}$",
    "(?<!^)a",
    "(?<=^b)a",
    r"(?=a\b)a",
    r"(?!.*\bab\b)^[ab ]+$",
    "^(?!(?:.*a){2})",
    "(?<=(?<!b)a)1",
    "(a|(?=b))+1",
    "(?!a(?!b)).1",
]

TEXTS = ["".join(chars) for n in range(6) for chars in product("ab1 ", repeat=n)]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_same_strings_as_a_search(pattern):
    # Python's "$" also matches in front of a line end that ends the text.
    searched = re.compile(pattern.replace("$", r"\Z"))
    expected = [text for text in TEXTS if searched.search(text)]
    for wide in (False, True):
        automaton = pattern_automaton(pattern, wide=wide)
        assert [text for text in TEXTS if automaton.accepts(text)] == expected


def admitted(pattern: str, chars: str, *, wide: bool = False) -> str:
    automaton = pattern_automaton(pattern, wide=wide)
    return "".join(char for char in chars if automaton.accepts(char))


@pytest.mark.parametrize(
    ("pattern", "narrow", "wide"),
    [
        (r"^\d$", "5", "5٣"),
        (r"^\D$", "aé ", "aé ٣"),
        (r"^\w$", "a5_", "a5_é٣"),
        (r"^\W$", " -", " -é٣"),
        (r"^[^\w]$", " -", " -é٣"),
        (r"^\s$", " \u00a0\u2028", " \u00a0\u2028\ufeff\x1c"),
        (r"^[^\s@]$", "a", "a\ufeff\x1c"),
        (r"^(?!\s).$", "a", "a\ufeff\x1c"),
        (r"^.$", "a", "a\r\u2028"),
        (r"^a$", "a", "a"),
    ],
)
def test_dialects_are_read_narrowly_and_widely(pattern, narrow, wide):
    chars = "".join(dict.fromkeys(narrow + wide))
    assert admitted(pattern, chars) == "".join(char for char in chars if char in narrow)
    assert admitted(pattern, chars, wide=True) == "".join(char for char in chars if char in wide)


def test_end_of_the_text_is_wider_for_python():
    assert not pattern_automaton("^a$").accepts("a\n")
    assert pattern_automaton("^a$", wide=True).accepts("a\n")


def test_python_agrees_with_the_wide_sets():
    everything = [chr(code) for code in range(0x3100)]
    for sign, ranges in ((r"\w", words(wide=True)), (r"\s", spaces(wide=True))):
        members = {chr(c) for first, last in ranges for c in range(first, last + 1)}
        assert [char for char in everything if re.match(sign, char) and char not in members] == []


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("L", "aéж中", "1 -"),
        ("Lu", "AÉ", "aé"),
        ("Letter", "a", "1"),
        ("gc=Nd", "1٣", "a"),
        ("Alphabetic", "aé", "1"),
        ("Extended_Pictographic", "😀", "a1"),
        ("Any", "a\n", ""),
    ],
)
def test_properties_of_unicode(name, inside, outside):
    assert admitted(rf"^\p{{{name}}}$", inside + outside) == inside
    assert admitted(rf"^\P{{{name}}}$", inside) == ""


def test_escapes_of_controls():
    assert admitted(r"^[\b\t]$", "\b\t\nbt") == "\b\t"
    assert admitted(r"^\n$", "\b\t\nbn") == "\n"


def test_unknown_properties_are_unknown():
    assert property_named("Script=Latin", wide=False) is None
    assert property_named("gc=Nonsense", wide=False) is None
    assert property_named("Nonsense", wide=True) is None


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", FORMATS)
def test_every_text_of_a_format_is_one_of_the_whole_format(name):
    # Two formats are alike if none of one is outside of the other.
    outside = String(formats=(name,), without=(String(patterns=(WHOLE_FORMATS[name],)),))
    assert string_automaton(String(formats=(name,))).shortest >= 0
    if name in WIDE_FORMATS:
        assert string_automaton(outside).is_empty
        only_wide = String(formats=(name,), without=(String(patterns=(WIDE_FORMATS[name],)),))
        assert string_automaton(only_wide).is_empty


def test_strings_that_are_left_out_are_left_out():
    shape = String(
        maximum=3,
        patterns=("^[ab]*$",),
        without=(Values(("a", "bb")), String(patterns=("b$",), without=(Values(("ab",)),))),
    )
    automaton = string_automaton(shape)
    texts = ["".join(chars) for n in range(5) for chars in product("ab", repeat=n)]
    expected = [
        t for t in texts if len(t) <= 3 and t not in ("a", "bb") and (t[-1:] != "b" or t == "ab")
    ]
    assert [text for text in texts if automaton.accepts(text)] == expected
    assert [text for text in texts if in_string(shape, text)] == expected
    assert (automaton.shortest, automaton.longest) == (0, 3)

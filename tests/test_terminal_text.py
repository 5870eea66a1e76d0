"""Text of others on its way to a terminal: harmless, readable, bounded."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from hivellm_lite.terminal_text import bounded, json_text, one_line, printable

EVERY_CHARACTER = "".join(map(chr, range(sys.maxunicode + 1)))

HARMFUL = [
    *(chr(code) for code in range(0x20) if chr(code) not in "\t\n"),
    *(chr(code) for code in range(0x7F, 0xA0)),
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\ufeff",
    "\U000e0041",
    "\ud800",
]


@pytest.mark.parametrize("char", HARMFUL, ids=lambda char: f"{ord(char):x}")
def test_what_a_terminal_obeys_becomes_an_escape_everywhere(char):
    for shown in (printable, one_line, bounded, json_text):
        text = shown(f"a{char}b")
        assert char not in text
        assert text.strip('"')[0] == "a"
        assert text.strip('"')[-1] == "b"
        assert text.isprintable()


def test_nothing_else_that_moves_or_hides_text_is_left():
    shown = printable(EVERY_CHARACTER)
    left = {c for c in shown if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs")}
    assert left == {"\n", "\t"}
    bidirectional = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "B")
    assert {c for c in shown if unicodedata.bidirectional(c) in bidirectional} == {"\n"}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;\n\tFROM t",
        "naïve café 漢字 😀 👩‍👩‍👧 ❤️",
        "مرحبا بالعالم",
        "می‌خواهم",
        "क्‍ष हिन्दी",
        "e\u0301",
    ],
)
def test_text_of_people_is_left_as_it_is(text):
    assert printable(text) == text


def test_a_sequence_that_is_split_over_pieces_does_not_pass():
    text = "a\x1b]0;title\x07\x1b[2Jb"
    assert "".join(map(printable, text)) == printable(text)
    assert "\x1b" not in printable(text)


def test_a_line_has_no_end_and_no_tab():
    assert one_line("x\nsigned  yes\r\n\ty") == "x\\nsigned  yes\\r\\n\\ty"


def test_a_long_field_keeps_both_ends_and_says_what_is_left_out():
    shown = one_line("a" * 1_000_000 + "z", limit=100)
    assert len(shown) < 150
    assert shown.startswith("aaa")
    assert shown.endswith("az")
    assert "999901 more characters" in shown


def test_a_message_is_bounded_in_lines_and_keeps_the_last():
    message = "\n".join([*(f"line {n}" for n in range(100_000)), "Do this."])
    lines = bounded(message).split("\n")
    assert len(lines) <= 41
    assert lines[0] == "line 0"
    assert lines[-1] == "Do this."
    assert lines[-2] == "… 99962 more lines"
    assert len(bounded("x" * 10_000_000)) < 1200
    assert bounded("one\ntwo") == "one\ntwo"


def test_json_keeps_the_value():
    no_halves = "".join(c for c in EVERY_CHARACTER[:0x11000] if unicodedata.category(c) != "Cs")
    value = {**{f"k{c}": c for c in HARMFUL}, "all": no_halves}
    text = json_text(value, indent=2)
    assert json.loads(text) == value
    assert json.loads(json_text("é\U000e0041", ascii_only=True)) == "é\U000e0041"
    assert json_text("é\U000e0041", ascii_only=True).isascii()
    assert "é" in json_text("é")


def test_numbers_that_json_lacks_become_null():
    value = {"a": float("nan"), "b": [float("inf"), 1.5, (-float("inf"),)], "c": "NaN"}
    assert json.loads(json_text(value)) == {"a": None, "b": [None, 1.5, [None]], "c": "NaN"}

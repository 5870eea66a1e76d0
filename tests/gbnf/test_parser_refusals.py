"""Texts that are no grammars are refused, with the place and what to do next."""

from __future__ import annotations

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.gbnf.parser import parse_grammar

REFUSED = [
    ("", "1:1: the grammar has no rule", ""),
    ("# only a comment\n", "2:1: the grammar has no rule", ""),
    ("\n  \n", "3:1: the grammar has no rule", ""),
    ('root ::= "abc\n', "1:10: the literal that begins here is not closed", '"abc'),
    (r'root ::= "a\"', "1:10: the literal that begins here is not closed", '"a'),
    ("root ::= 'a\"", "1:10: the literal that begins here is not closed", "'a"),
    ("root ::= [abc\n", "1:10: the character class that begins here is not closed", "[abc"),
    ("root ::= [a-", "1:10: the character class that begins here is not closed", "[a-"),
    ("root ::= []", "1:10: [] is a class without characters", "[]"),
    ('root ::= "a" [^]', "1:14: [^] is a class without characters", "[^]"),
    ('root ::= ("a" ("b"\nb ::= "c"', "1:15: the group that begins here is not closed", '("b"'),
    ('root ::= ("a" ("b")', "1:10: the group that begins here is not closed", '("a"'),
    ('root ::= ("a" ;', "1:10: the group that begins here is not closed", '("a"'),
    ('root ::= "a")', "1:13: ')' closes nothing", ")"),
    ("root ::= [z-a]", "1:11: the range z-a is in reversed order", "z-a"),
    (r"root ::= [\x7A-a]", r"1:11: the range \x7A-a is in reversed order", r"\x7A"),
    (r'root ::= "\q"', r"1:11: \q is not an escape in grammars", r"\q"),
    (r"root ::= [\d]", r"1:11: \d is not an escape in grammars", r"\d"),
    ('root ::= "\\\n"', "1:11: \\ before the end of a line is not an escape in grammars", "\\"),
    (r'root ::= "\x4"', r"1:11: \x needs 2 hexadecimal digits", r"\x4"),
    (r'root ::= "\u12_4"', r"1:11: \u needs 4 hexadecimal digits", r"\u12_4"),
    (r'root ::= "\U0001F60"', r"1:11: \U needs 8 hexadecimal digits", r"\U"),
    (r'root ::= "\x+1"', r"1:11: \x needs 2 hexadecimal digits", r"\x"),
    (r'root ::= "\U00110000"', r"1:11: \U00110000 is above U+10FFFF, the last character", r"\U"),
    (r'root ::= "\ud83d"', "1:11: U+D83D is half of a surrogate pair and no character", r"\ud83d"),
    (r'root ::= "\ude00\ud83d"', "1:11: U+DE00 is half of a surrogate pair", r"\ude00"),
    (r'root ::= "\ud83d\u0041"', "1:11: U+D83D is half of a surrogate pair", r"\ud83d"),
    (r"root ::= [a\ud83d\ude00]", "1:12: U+D83D is half of a surrogate pair", r"\ud83d"),
    (
        'root ::= "a"{3,2}',
        "1:13: at least 3 and at most 2 repetitions contradict each other",
        "{3,2}",
    ),
    ('root ::= "a"{}', "1:13: '{' begins no number of repetitions", "{}"),
    ('root ::= "a"{,}', "1:13: '{' begins no number of repetitions", "{,}"),
    ('root ::= "a"{2 3}', "1:13: '{' begins no number of repetitions", "{2 3}"),
    ('root ::= "a"{2', "1:13: '{' begins no number of repetitions", "{2"),
    ('root ::= "a"{-1}', "1:13: '{' begins no number of repetitions", "{-1}"),
    ('root ::= "a"{99999}', "1:13: a number of repetitions is above 10,000, the limit", "{9"),
    ("root ::= * x", "1:10: a repetition has nothing before it", "*"),
    ('root ::= "a" | + x', "1:16: a repetition has nothing before it", "+"),
    ("root ::= ({2})", "1:11: a repetition has nothing before it", "{2}"),
    ('root ::=\na ::= "a"', "1:1: the rule 'root' has nothing after its '::='", "root"),
    ("root ::= # nothing\n", "1:1: the rule 'root' has nothing after its '::='", "root"),
    ('root ::= "a" |\na ::= .', "1:1: the rule 'root' has nothing after its last '|'", "root"),
    ('root ::= "a" b ::= "b"', "1:14: a rule begins in the middle of a line", "b ::="),
    ('root ::= "a"\n"b"', "2:1: a literal where a rule should begin", '"b"'),
    ('root ::= "a"\nb = "b"', "2:1: a rule name where a rule should begin", "b ="),
    ('"a" root ::= "b"', "1:1: a literal where a rule should begin", '"a"'),
    ('root ::= "a" ; "b"', "1:16: a literal where a rule should begin", '"b"'),
    ('root ::= "a" ::= "b"', "1:14: '::=' without a rule name before it", "::="),
    (
        'root ::= "a"\nb ::= "b"\nroot ::= "c"',
        "3:1: the rule 'root' is defined again",
        "root",
    ),
    ("root ::= <think> .*", "1:10: <think> stands for a token of a model", "<think>"),
    ("root ::= <[123]>", "1:10: <[123]> stands for a token of a model", "<[123]>"),
    ("root ::= !</think>*", "1:10: !</think> stands for a token of a model", "!</think>"),
    ("<expr> ::= <term>", "1:1: <expr> stands for a token of a model", "<expr>"),
    ("root ::= @", "1:10: '@' begins nothing that grammars have", "@"),
    ("root ::= a,b", "1:11: ',' begins nothing that grammars have", ",b"),
    ("root ::= a\xa0b", "1:11: U+00A0 begins nothing that grammars have", " b"),
    ('root ::= "a"\x00', "1:13: U+0000 is not a character of text", " "),
    ("root ::= '\ud800'", "1:11: U+D800 is not a character of text", " '"),
    (b'# \xc3\xa9\nroot ::= "\xe9"', "2:11: byte 0xE9 is not UTF-8", ""),
    (b"\xff\xfer\0o\0o\0t\0", "1:1: byte 0xFF is not UTF-8", ""),
    (b'\xef\xbb\xbf"\xff', "1:2: byte 0xFF is not UTF-8", ""),
]


@pytest.mark.parametrize(("text", "first_line", "under_caret"), REFUSED)
def test_what_is_no_grammar_is_refused_with_its_place(text, first_line, under_caret):
    with pytest.raises(GrammarError) as caught:
        parse_grammar(text, source="x.gbnf")
    message = str(caught.value).split("\n")
    assert message[0].startswith(f"x.gbnf:{first_line}")
    assert message[-1].endswith(".")
    if len(message) == 4:
        caret = message[2].index("^")
        assert message[1][caret:].startswith(under_caret)
    else:
        assert len(message) == 2
        assert not under_caret


def test_a_message_shows_place_line_and_way_out():
    with pytest.raises(GrammarError) as caught:
        parse_grammar('root ::= item+\nitem ::=\t"- " [z-a] "\\n"\n', source="list.gbnf")
    assert str(caught.value) == (
        "list.gbnf:2:16: the range z-a is in reversed order\n"
        '  item ::= "- " [z-a] "\\n"\n'
        "                 ^\n"
        "Write the lower character first."
    )


def test_of_a_long_line_a_message_shows_the_part_around_the_place():
    with pytest.raises(GrammarError) as caught:
        parse_grammar("root ::= " + "abcdefg " * 50 + "@ " + "abcdefg " * 50)
    _, shown, caret, _ = str(caught.value).split("\n")
    assert len(shown) == len("  …") + 80 + len("…")
    assert shown[caret.index("^")] == "@"


def test_a_rule_given_twice_is_refused_with_both_lines():
    with pytest.raises(GrammarError, match=r"^g:4:1: .*'b' .* differently from line 2\n"):
        parse_grammar('root ::= b\nb ::= "x"\n\nb ::= "y"', source="g")


@pytest.mark.parametrize("text", ['root ::= "a\nb ::= "c"\n', "root ::= [a\nb ::= [c] d]"])
def test_after_a_literal_over_several_lines_its_quote_is_suspected(text):
    with pytest.raises(GrammarError, match="in line 1 continues on the next line: is it closed"):
        parse_grammar(text)


def test_no_message_can_bring_control_characters_to_the_screen():
    for text in ["root ::= <\x1b[2J>", "root ::= [z-\x1b]", "root ::= \x1b[2J", 'r ::= "\\\x1b"']:
        with pytest.raises(GrammarError) as caught:
            parse_grammar(text)
        assert str(caught.value).replace("\n", "").isprintable()

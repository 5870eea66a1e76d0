r"""Reading GBNF: every construct, the dialects of published grammars, and what is refused."""

from __future__ import annotations

import random
import re

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.gbnf.build import ANY, NOTHING
from hivellm_lite.gbnf.parser import parse_grammar
from hivellm_lite.gbnf.syntax import (
    EMPTY,
    Alternation,
    CharClass,
    Literal,
    Node,
    Repeat,
    RuleRef,
    Sequence,
)

A, B, C = Literal("a"), Literal("b"), Literal("c")


def body(text: str) -> Node:
    """What a rule with this text after its ``::=`` describes."""
    return parse_grammar(f"root ::= {text}\n").rules["root"]


def chars(text: str, *, negated: bool = False) -> CharClass:
    """``chars("a-z_")``: pairs around a hyphen, and single characters, in order."""
    ranges = []
    while text:
        width = 3 if text[1:2] == "-" else 1
        ranges.append((ord(text[0]), ord(text[width - 1])))
        text = text[width:]
    return CharClass(tuple(ranges), negated)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ('"ab c"', Literal("ab c")),
        ('""', EMPTY),
        ("()", EMPTY),
        ('"a" "b"', Sequence((A, B))),
        ('"a""b"', Sequence((A, B))),
        ('"a" ("b" "c")', Sequence((A, B, C))),
        ('"a" | "b" | "c"', Alternation((A, B, C))),
        ('"a" | ("b" | "c")', Alternation((A, B, C))),
        ('| "a"', Alternation((EMPTY, A))),
        ('"a" |', Alternation((A, EMPTY))),
        ('"a" ("b" | "c")', Sequence((A, Alternation((B, C))))),
        ('("a" | ) "b"', Sequence((Alternation((A, EMPTY)), B))),
        ("name-2 x", Sequence((RuleRef("name-2"), RuleRef("x")))),
        ("(((x)))", RuleRef("x")),
        ('"a"*', Repeat(A, 0, None)),
        ('"ab"+', Repeat(Literal("ab"), 1, None)),
        ("x ?", Repeat(RuleRef("x"), 0, 1)),
        ('"a"{3}', Repeat(A, 3, 3)),
        ('"a"{3,}', Repeat(A, 3, None)),
        ('"a"{3,5}', Repeat(A, 3, 5)),
        ('"a"{ 3 , 5 }', Repeat(A, 3, 5)),
        ('"a"{003}', Repeat(A, 3, 3)),
        ('"a"{0}', EMPTY),
        ('"a"{1}', A),
        ('"a" "b"*', Sequence((A, Repeat(B, 0, None)))),
        ('("a" "b")*', Repeat(Sequence((A, B)), 0, None)),
        ('"a"{2}{3}', Repeat(Repeat(A, 2, 2), 3, 3)),
        ('"a"*?', Repeat(A, 0, None)),
        (".", ANY),
        (".*", Repeat(ANY, 0, None)),
    ],
)
def test_expressions(text, node):
    assert body(text) == node


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        (r'"\n\r\t"', "\n\r\t"),
        (r'"\\ \" \[ \] \-"', '\\ " [ ] -'),
        (r'"\x41\xe9\xE9"', "Aéé"),
        (r'"\u3042\u00e9"', "あé"),
        (r'"\U0001F600\U00000041"', "😀A"),
        (r'"\x00"', "\0"),
        (r'"\x414"', "A4"),
        ('"あ😀 é"', "あ😀 é"),
        ('"it\'s # | [no] comment"', "it's # | [no] comment"),
        ('"two\nlines"', "two\nlines"),
    ],
)
def test_literals_mean_their_characters(text, meaning):
    assert body(text) == Literal(meaning)


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("[a]", chars("a")),
        ("[a-z]", chars("a-z")),
        ("[^a-z]", chars("a-z", negated=True)),
        ("[zb-da-c]", chars("a-dz")),
        ("[a-]", chars("-a")),
        ("[-a]", chars("-a")),
        ("[^-]", chars("-", negated=True)),
        ("[-]", chars("-")),
        ("[+--]", chars("+--")),
        ("[a-f-9]", chars("-9a-f")),
        (r"[\]\[\\]", chars("[-]")),
        (r"[\--/]", chars("--/")),
        ("[[]", chars("[")),
        ("[a^]", chars("^a")),
        (r"[\^a]", chars("^a")),
        ('["#|()]', chars('"-#(-)|')),
        (r"[^\x00-\x1F\u007f]", chars("\0-\x1f\x7f", negated=True)),
        ("[ぁ-ゟ]", chars("ぁ-ゟ")),
        (r"[\U0001F600-\U0001F64F]", chars("\U0001f600-\U0001f64f")),
        (r"[\x00-\U0010FFFF]", ANY),
        (r"[^\x00-\U0010FFFF]", NOTHING),
        (r"[^\uD800-\uDFFF]", ANY),
        (r"[a-\uDFFF]", chars("a-\ud7ff")),
        ("[\n]", chars("\n")),
    ],
)
def test_classes_mean_their_characters(text, node):
    assert body(text) == node


@pytest.mark.parametrize(
    "text",
    [
        'root ::= a | b\na ::= "a"\nb ::= "b"',
        'root ::= a | b\r\na ::= "a"\r\n\r\nb ::= "b"\r\n',
        'root ::= a | b\ra ::= "a"\rb ::= "b"\r',
        '\ufeffroot ::= a | b\na ::= "a"\nb ::= "b"\n',
        '# a\nroot ::= a | b # "x"\n\n# ::=\na ::= "a"#\nb::="b" # end',
        'root ::=\n  a | b\na ::=\n"a"\nb\n  ::= "b"\n',
        'root ::= a |\n\n  # or\nb\na ::= "a"\nb ::= "b"\n',
        'root ::= (\na\n| # or\nb\n)\na ::= (\n\n"a")\nb ::= ("b"\n\n)\n',
        'root ::= a\n  | b\na ::= "a"\nb ::= "b"\n',
        'root ::= a\n| b\na ::= "a"\nb ::= "b"\n',
        'root ::= a\n# or\n\n| b\na ::= "a"\nb ::= "b"\n',
        'root ::= a | b ;\na ::= "a";\nb ::= "b"\n;\n',
        "root ::= a | b\na ::= 'a'\nb ::= '\\x62'\n",
        '  root ::= a | b\n  a ::= "a"\n  b ::= "b"\n',
        'root ::= a | b\na ::= "a"\nb ::= "b"\na ::= ("a")\n',
    ],
)
def test_line_ends_comments_and_dialects_change_nothing(text):
    grammar = parse_grammar(text)
    assert grammar.rules == {"root": Alternation((RuleRef("a"), RuleRef("b"))), "a": A, "b": B}
    assert list(grammar.rules) == ["root", "a", "b"]
    assert parse_grammar(text.encode()) == grammar


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ("under_score _x 1st größe", ("under_score", "_x", "1st", "größe")),
        ("a\n  b\n\tc", ("a", "b", "c")),
    ],
)
def test_names_and_continued_sequences(text, node):
    assert body(text) == Sequence(tuple(map(RuleRef, node)))


@pytest.mark.parametrize(
    ("text", "node"),
    [
        ('"a"{,5}', Repeat(A, 0, 5)),
        ("'say \"x\"'", Literal('say "x"')),
        (r"'it\'s'", Literal("it's")),
        (r'"\/\'\{"', Literal("/'{")),
        (r"[\.\+\/]", chars("+.-/")),
        (r'"\ud83d\uDE00!"', Literal("😀!")),
    ],
)
def test_extensions_with_one_meaning_only(text, node):
    assert body(text) == node


def test_a_grammar_knows_where_it_is_from_and_where_its_rules_stand():
    grammar = parse_grammar('# x\r\n\r\nmain ::= (\r\n"x" |\r\n b)\r\nb ::= "y"', source="x.gbnf")
    assert grammar.source == "x.gbnf"
    assert grammar.root == "root"
    assert grammar.lines == {"main": 3, "b": 6}
    assert parse_grammar("main ::= .", root="main").root == "main"


def test_names_without_a_rule_are_not_the_parsers_business():
    assert parse_grammar("main ::= other").rules == {"main": RuleRef("other")}


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
    (r'root ::= "\q"', r"1:11: \q is no escape of grammars", r"\q"),
    (r"root ::= [\d]", r"1:11: \d is no escape of grammars", r"\d"),
    ('root ::= "\\\n"', "1:11: \\ before the end of a line is no escape of grammars", "\\"),
    (r'root ::= "\x4"', r"1:11: \x needs 2 hexadecimal digits", r"\x4"),
    (r'root ::= "\u12_4"', r"1:11: \u needs 4 hexadecimal digits", r"\u12_4"),
    (r'root ::= "\U0001F60"', r"1:11: \U needs 8 hexadecimal digits", r"\U"),
    (r'root ::= "\x+1"', r"1:11: \x needs 2 hexadecimal digits", r"\x"),
    (r'root ::= "\U00110000"', r"1:11: \U00110000 is above U+10FFFF, the last character", r"\U"),
    (r'root ::= "\ud83d"', "1:11: U+D83D is half of a surrogate pair and no character", r"\ud83d"),
    (r'root ::= "\ude00\ud83d"', "1:11: U+DE00 is half of a surrogate pair", r"\ude00"),
    (r'root ::= "\ud83d\u0041"', "1:11: U+D83D is half of a surrogate pair", r"\ud83d"),
    (r"root ::= [a\ud83d\ude00]", "1:12: U+D83D is half of a surrogate pair", r"\ud83d"),
    ('root ::= "a"{3,2}', "1:13: at least 3 and at most 2 repetitions are none at all", "{3,2}"),
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
        "3:1: the rule 'root' is here for the second",
        "root",
    ),
    ("root ::= <think> .*", "1:10: <think> stands for a token of a model", "<think>"),
    ("root ::= <[123]>", "1:10: <[123]> stands for a token of a model", "<[123]>"),
    ("root ::= !</think>*", "1:10: !</think> stands for a token of a model", "!</think>"),
    ("<expr> ::= <term>", "1:1: <expr> stands for a token of a model", "<expr>"),
    ("root ::= @", "1:10: '@' begins nothing that a grammar knows", "@"),
    ("root ::= a,b", "1:11: ',' begins nothing that a grammar knows", ",b"),
    ("root ::= a\xa0b", "1:11: U+00A0 begins nothing that a grammar knows", " b"),
    ('root ::= "a"\x00', "1:13: U+0000 is no character of a text", " "),
    ("root ::= '\ud800'", "1:11: U+D800 is no character of a text", " '"),
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
    with pytest.raises(GrammarError, match=r"^g:4:1: .*'b' .* other than in line 2\n"):
        parse_grammar('root ::= b\nb ::= "x"\n\nb ::= "y"', source="g")


@pytest.mark.parametrize("text", ['root ::= "a\nb ::= "c"\n', "root ::= [a\nb ::= [c] d]"])
def test_after_a_literal_over_several_lines_its_quote_is_suspected(text):
    with pytest.raises(GrammarError, match="of line 1 goes on in the next line: is it not closed"):
        parse_grammar(text)


def test_no_message_can_bring_control_characters_to_the_screen():
    for text in ["root ::= <\x1b[2J>", "root ::= [z-\x1b]", "root ::= \x1b[2J", 'r ::= "\\\x1b"']:
        with pytest.raises(GrammarError) as caught:
            parse_grammar(text)
        assert str(caught.value).replace("\n", "").isprintable()


SQL = r"""# A little SQL, as people write it
root        ::= select_stmt ";"?
select_stmt ::= "SELECT" ws columns ws "FROM" ws table_name where_clause?
columns     ::=
    "*"
  | column_ref (ws? "," ws? column_ref)*
where_clause ::= ws "WHERE" ws expr
expr        ::= expr ws "AND" ws expr | comparison
comparison  ::= column_ref ws? ("=" | "<>" | [<>] "="?) ws? value
column_ref  ::= (table_name ".")? name
table_name  ::= name
name        ::= [a-zA-Z_] [a-zA-Z0-9_]{0,62}
value       ::= "'" ([^'\\] | "''")* "'" | "-"? [0-9]+ ("." [0-9]+)?
ws          ::= [ \t\n]*
"""

JSON = r"""root ::= object
value ::= object | array | string | ("true" | "false" | "null" | number) ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]+)? ([eE] [-+]? [0-9]+)?
ws ::= | " " | "\n" [ \t]{0,20}
"""


def test_realistic_grammars_are_read_whole():
    assert len(parse_grammar(SQL).rules) == 11
    assert len(parse_grammar(JSON).rules) == 7
    assert parse_grammar(SQL).rules["columns"] == body('"*" | column_ref (ws? "," ws? column_ref)*')


def test_whatever_is_changed_in_a_grammar_it_is_read_or_refused():
    rng = random.Random(7)
    pieces = [*'"[]()|*+?{}:=\\-^.#;<>!\n\r\t ,0_é\x00\ud800', "::=", "{,", "\\u", "\nx ::= ", "[^"]
    read = 0
    refused = []
    for _ in range(800):
        text = rng.choice([SQL, JSON])
        for _ in range(rng.randint(1, 8)):
            start = rng.randrange(len(text))
            stop = min(len(text), start + rng.choice([0, 0, 1, 1, 30]))
            text = text[:start] + rng.choice([*pieces, "", text[start:stop] * 2]) + text[stop:]
        try:
            parse_grammar(text)
            read += 1
        except GrammarError as error:
            refused.append(str(error))
    assert read > 30
    assert len(refused) > 100
    assert all(re.match(r"<grammar>:\d+:\d+: .+\n", message) for message in refused)


def test_whatever_bytes_there_are_they_are_read_or_refused():
    rng = random.Random(8)
    refused = 0
    for _ in range(500):
        data = bytearray(f"{JSON}# é😀".encode())
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            parse_grammar(bytes(data))
        except GrammarError:
            refused += 1
    assert 0 < refused < 500

"""Reading GBNF: every construct, and the dialects of published grammars."""

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

"""``grammar test``: texts judged by a grammar."""

from __future__ import annotations

import json

import pytest


def test_a_refused_text_is_shown_with_its_place_and_what_was_expected(tool, sums):
    code, out, _ = tool("grammar", "test", sums, "12+3", "12*3")
    assert code == 1
    assert out == (
        "accepted: 12+3\n"
        "refused: 12*3\n"
        "  line 1, column 3: this cannot stand here\n"
        "    12*3\n"
        "      ^\n"
        '  expected: [0-9], "+", "-", the end of the text\n'
    )
    assert tool("grammar", "test", "json", "1", "[]")[0] == 0


def test_of_many_expected_characters_a_few_are_shown(tool, tmp_path):
    path = tmp_path / "letters.gbnf"
    path.write_text("root ::= " + " | ".join(f'"{char}"' for char in "abcdefghijklmnop"))
    assert '"l", and 4 more\n' in tool("grammar", "test", path, "x")[1]


def test_a_text_that_ends_too_early_is_told_from_one_with_a_mistake(tool):
    _, out, _ = tool("grammar", "test", "json-compact", "[1")
    assert "line 1, column 3: the text ends too early" in out


def test_the_place_in_a_long_text_of_several_lines_is_shown_with_little_around_it(tool, tmp_path):
    path = tmp_path / "long.json"
    path.write_text("[1,\n" + "2, " * 100 + "x" + ", 3" * 100 + "]")
    _, out, _ = tool("grammar", "test", "json", f"@{path}")
    lines = out.splitlines()
    assert lines[1] == "  line 2, column 301: this cannot stand here"
    assert len(lines[2]) < 80
    assert lines[2][lines[3].index("^")] == "x"


def test_a_text_may_come_from_a_file_or_from_stdin(tool, tmp_path, stdin):
    path = tmp_path / "text.csv"
    path.write_bytes(b"a,b\r\n1,2\r\n")
    stdin(b'{"a":1}')
    assert tool("grammar", "test", "csv", f"@{path}")[:2] == (0, f"accepted: @{path}\n")
    assert tool("grammar", "test", "json-compact", "-")[:2] == (0, "accepted: -\n")


def test_the_line_break_at_the_end_of_a_file_may_belong_to_the_text_or_not(tool, tmp_path):
    grammar, text = tmp_path / "lines.gbnf", tmp_path / "text"
    text.write_bytes(b"a\r\n")
    for rule, code in (('"a"', 0), (r'"a\r\n"', 0), (r'"a\r"', 1), (r'"a\r\n\r\n"', 1)):
        grammar.write_text(f"root ::= {rule}")
        assert tool("grammar", "test", grammar, f"@{text}")[0] == code, rule
    grammar.write_text('root ::= "a"')
    assert tool("grammar", "test", grammar, "a\n")[0] == 1


@pytest.mark.parametrize(("data", "why"), [(None, "No such file"), (b"\xff", "not UTF-8 text")])
def test_a_text_that_cannot_be_read_is_wrong_usage(tool, tmp_path, data, why):
    path = tmp_path / "text"
    if data is not None:
        path.write_bytes(data)
    code, _, err = tool("grammar", "test", "json", f"@{path}")
    assert code == 2
    assert why in err


def test_what_a_terminal_cannot_show_is_replaced(tool):
    _, out, _ = tool("grammar", "test", "json", "[\x1b[2J\udc80\t")
    assert "refused: [\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER} \n" in out


def test_the_judgements_as_json(tool):
    code, out, _ = tool("grammar", "test", "json-compact", "[1]", "[\n", "--json")
    assert code == 1
    accepted, refused = json.loads(out)
    assert accepted["accepted"]
    assert accepted["expected"] == ["the end of the text"]
    assert {key: refused[key] for key in ("accepted", "position", "line", "column", "at_end")} == {
        "accepted": False,
        "position": 1,
        "line": 1,
        "column": 2,
        "at_end": False,
    }
    assert '"]"' in refused["expected"]


def test_another_rule_may_be_the_root(tool):
    assert tool("grammar", "test", "iso", "2024-02-29", "--root", "date")[0] == 0
    assert tool("grammar", "test", "iso", "2024-02-29", "--root", "time")[0] == 1
    code, out, _ = tool("grammar", "check", "iso", "--root", "nothing")
    assert code == 1
    assert "there is no rule 'nothing' to begin with" in out


def test_a_grammar_without_texts_expects_nothing(tool, tmp_path):
    path = tmp_path / "endless.gbnf"
    path.write_text('root ::= "a" root')
    assert "expected: nothing; no text fits" in tool("grammar", "test", path, "a")[1]

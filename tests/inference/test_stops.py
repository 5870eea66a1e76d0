"""Stop sequences: where they count, what stays, and that streaming changes nothing."""

from __future__ import annotations

import pytest

from hivellm_lite.inference.stops import StopScanner

SQL = (";", "\n\n")
CYPHER = ("\n\n", "```", "};", ");")
JSON = ("\n\n",)
TOOLS = ("```", "}", "\n\n")


def scan(text: str, *, balanced=(), literal=(), size: int = 1) -> tuple[str, str | None]:
    scanner = StopScanner(literal=literal, balanced=balanced)
    shown = ""
    for start in range(0, len(text), size):
        shown += scanner.push(text[start : start + size])
        if scanner.stopped_by is not None:
            break
    return shown + scanner.finish(), scanner.stopped_by


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("balanced", "text", "shown", "stop"),
    [
        # removed: what stands before it is whole
        (SQL, "SELECT 1; SELECT 2", "SELECT 1", ";"),
        (SQL, "SELECT 1\n\nExplanation", "SELECT 1", "\n\n"),
        (CYPHER, "MATCH (n) RETURN n```", "MATCH (n) RETURN n", "```"),
        # kept: it closes what is open
        (CYPHER, "MATCH (n) RETURN count(n); MATCH", "MATCH (n) RETURN count(n);", ");"),
        (CYPHER, "CREATE (n {a: 1}); x", "CREATE (n {a: 1});", ");"),
        (TOOLS, '{"a": {"b": 1}} and more', '{"a": {"b": 1}}', "}"),
        (TOOLS, '{"a": "}"}', '{"a": "}"}', "}"),
        # ordinary text: inside a string or a bracket
        (SQL, "SELECT ';' FROM t; x", "SELECT ';' FROM t", ";"),
        (SQL, "SELECT 'it''s; so' ; x", "SELECT 'it''s; so' ", ";"),
        (SQL, "SELECT (1\n\n+ 2); x", "SELECT (1\n\n+ 2)", ";"),
        (TOOLS, '{"a": "\\"}"} x', '{"a": "\\"}"}', "}"),
        # an apostrophe opens nothing, a stray bracket closes nothing
        (JSON, "I don't know\n\nMore", "I don't know", "\n\n"),
        (JSON, "a) b\n\nMore", "a) b", "\n\n"),
        (TOOLS, "no brace } x", "no brace ", "}"),
        # white space before the answer stops nothing
        (JSON, "\n\n{}\n\nMore", "\n\n{}", "\n\n"),
        # never stopped
        (SQL, "SELECT 1", "SELECT 1", None),
        (CYPHER, "MATCH (n) RETURN n.a``", "MATCH (n) RETURN n.a``", None),
        (("",), "abc", "abc", None),
    ],
)
def test_manifest_stops_count_where_brackets_and_quotes_are_balanced(
    balanced, text, shown, stop, size
):
    assert scan(text, balanced=balanced, size=size) == (shown, stop)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_callers_stops_are_literal(size):
    assert scan('{"a": 1}', literal=["}"], size=size) == ('{"a": 1', "}")
    assert scan("\n\nx", literal=["\n\n"], size=size) == ("", "\n\n")
    assert scan("f(x); y", literal=[");"], balanced=[");"], size=size) == ("f(x", ");")


def test_the_longer_of_two_stops_at_one_place_wins():
    assert scan("a};b", literal=["}", "};"]) == ("a", "};")
    assert scan("a}b", literal=["}", "};"]) == ("a", "}")
    assert scan("a}", literal=["}", "};"]) == ("a", "}")


def test_text_that_may_begin_a_stop_is_held_back_until_it_is_decided():
    scanner = StopScanner(literal=["<|end|>"])
    assert scanner.push("abc<|en") == "abc"
    assert scanner.push("ough") == "<|enough"
    assert scanner.push("<|end") == ""
    assert scanner.push("|>tail") == ""
    assert scanner.stopped_by == "<|end|>"
    assert scanner.push("more") == scanner.finish() == ""

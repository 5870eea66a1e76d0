"""JSON with positions: what is accepted, what is refused, and where it says the fault is."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from hivellm_lite.strict_json.parsing import (
    MAX_BYTES,
    MAX_DEPTH,
    JsonError,
    parse_object,
    shown,
)


def parse(text: str | bytes) -> Any:
    data = text.encode() if isinstance(text, str) else text
    return parse_object(data, source="x.json").value


def error(text: str | bytes) -> str:
    with pytest.raises(JsonError) as caught:
        parse(text)
    return str(caught.value)


TEXT = """{
  "a": [1, {"b": null}, "x, \\"]}"],
  "": {"two words": -2.5e3},
\t"a": [10, {"b": [true, [], {}], "c": false}]
}"""


class TestWhere:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ((), "$, line 1, column 1"),
            (("a",), "$.a, line 4, column 7"),
            (("a", 0), "$.a[0], line 4, column 8"),
            (("a", 1, "b", 0), "$.a[1].b[0], line 4, column 19"),
            (("a", 1, "b", 2), "$.a[1].b[2], line 4, column 29"),
            (("a", 1, "c"), "$.a[1].c, line 4, column 39"),
            (("", "two words"), '$[""]["two words"], line 3, column 21'),
        ],
    )
    def test_every_value_has_a_line_and_a_column(self, path: Any, expected: str) -> None:
        assert parse_object(TEXT.encode(), source="x").where(path) == expected

    def test_a_missing_value_stands_where_its_parent_stands(self) -> None:
        document = parse_object(TEXT.encode(), source="x")
        assert document.where(("a", 1, "z", 5)) == "$.a[1].z[5], line 4, column 12"

    def test_of_a_repeated_key_the_last_one_counts(self) -> None:
        assert parse(TEXT)["a"][0] == 10

    def test_a_byte_order_mark_shifts_nothing(self) -> None:
        document = parse_object(b"\xef\xbb\xbf" + b'{"a": 1}', source="x")
        assert document.where(("a",)) == "$.a, line 1, column 7"

    def test_columns_count_characters(self) -> None:
        assert parse_object('{"é€": 1}'.encode(), source="x").where(("é€",)).endswith("column 8")

    def test_an_escaped_key_is_found(self) -> None:
        assert parse_object(b'{"\\u0061": 1}', source="x").where(("a",)) == "$.a, line 1, column 12"


class TestRefused:
    def test_syntax_errors_show_the_place(self) -> None:
        message = error('{\n  "name": "x"\n  "version": 1\n}')
        lines = message.splitlines()
        assert lines[0].startswith("x.json: line 3, column 3: ")
        assert lines[1] == '      "version": 1'
        assert lines[2] == "      ^"

    def test_a_long_line_is_shown_around_the_place(self) -> None:
        lines = error('{"a": [' + "1, " * 500 + "oops" + ", 1" * 500 + "]}").splitlines()
        assert len(lines[1]) < 70
        assert lines[1][lines[2].index("^") :].startswith("oops")

    def test_control_characters_are_not_repeated(self) -> None:
        assert "\x1b" not in error('{"a": "\x1b[2J"}')

    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            ("", "The file is empty."),
            (" \n ", "The file is empty."),
            ('{"a": 1', "cut off"),
            ('{"a": [1, 2', "cut off"),
            ('{"a": 1,}', "Remove the comma"),
            ('{"a": [1,\n ]}', "Remove the comma"),
            ("{'a': 1}", "double quotes"),
            ('{"a": 1, // note\n"b": 2}', "no comments"),
            ('{"a": 1 # note\n}', "no comments"),
        ],
    )
    def test_common_mistakes_get_a_hint(self, text: str, hint: str) -> None:
        assert hint in error(text).splitlines()[-1]

    @pytest.mark.parametrize("text", ['{"a" 1}', "{} {}", '{"a": tru}', '{"a": "\\x"}', '{"a": "'])
    def test_other_mistakes_get_none(self, text: str) -> None:
        assert "^" in error(text)

    @pytest.mark.parametrize("text", ["[]", '"text"', "1", "null"])
    def test_the_root_must_be_an_object(self, text: str) -> None:
        assert error(text) == f"x.json: found {text}, expected an object {{…}}"

    def test_bytes_that_are_not_utf8_are_named(self) -> None:
        assert "line 2: byte 0xe9 is not UTF-8" in error(b'{\n"a": "caf\xe9"}')

    @pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
    def test_numbers_that_are_none_are_refused(self, word: str) -> None:
        assert f"column 7: {word} is not JSON" in error(f'{{"a": {word}}}')

    @pytest.mark.parametrize("number", ["1" * 5000, "-" + "1" * 5000, "1" * 5000 + "x"])
    def test_an_integer_of_thousands_of_digits_is_refused(self, number: str) -> None:
        assert "A number of 5000 digits" in error(f'{{"a": {number}}}')

    def test_a_number_beyond_floats_is_refused(self) -> None:
        assert "too large" in error('{"a": -1e999}')

    def test_a_number_that_vanishes_is_zero(self) -> None:
        assert parse('{"a": 1e-999}') == {"a": 0.0}

    @pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"\\udfff": 1}'])
    def test_half_a_surrogate_pair_is_refused(self, text: str) -> None:
        assert "surrogate" in error(text)

    def test_a_whole_surrogate_pair_is_a_character(self) -> None:
        assert parse('{"a": "\\ud83d\\ude00"}') == {"a": "😀"}

    def test_a_wrong_unicode_escape_is_a_syntax_error(self) -> None:
        assert "escape" in error('{"a": "\\u12"}')

    @pytest.mark.parametrize("opening", ["[", '{"a":'])
    def test_deep_nesting_is_refused_without_recursion(self, opening: str) -> None:
        assert f"over {MAX_DEPTH} levels" in error('{"a":' + opening * 100_000)

    def test_the_deepest_nesting_is_accepted(self) -> None:
        parse('{"a":' + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "}")

    def test_brackets_in_strings_do_not_nest(self) -> None:
        assert parse(json.dumps({"a": "[" * 100}))

    def test_a_document_beyond_the_limit_is_refused_unread(self) -> None:
        assert f"over {MAX_BYTES} bytes" in error(b"\xff" * (MAX_BYTES + 1))

    def test_an_endless_string_of_escapes_takes_no_quadratic_time(self) -> None:
        started = time.monotonic()
        assert "Unterminated string" in error('{"a": "' + '\\"' * (MAX_BYTES // 2 - 10))
        assert time.monotonic() - started < 5


class TestShown:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("é", '"é"'),
            ("\x1b[0m", '"\\u001b[0m"'),
            ("a\u202eb", '"a\\u202eb"'),
            ({"a": None}, '{"a": null}'),
            ("x" * 100, '"' + "x" * 58 + "…"),
        ],
    )
    def test_values_are_short_and_printable(self, value: object, expected: str) -> None:
        assert shown(value) == expected

"""Reading fields: what counts as absent, and how each problem is told."""

from __future__ import annotations

import json

import pytest

from hivellm_lite.strict_json.fields import Fields
from hivellm_lite.strict_json.parsing import parse_object


def read(value: object) -> tuple[Fields, list[str]]:
    problems: list[str] = []
    document = parse_object(json.dumps(value).encode(), source="x.json")
    return Fields.of(document, problems), problems


class TestFields:
    def test_null_counts_as_absent(self) -> None:
        fields, problems = read({"a": None})
        assert not fields.has("a")
        assert fields.text("a") is None
        assert fields.integer("a", minimum=0) is None
        assert fields.texts("a") == ()
        assert fields.children("a") == ()
        assert fields.child("a").value == {}
        assert fields.boolean("a") is False
        assert problems == []

    @pytest.mark.parametrize(("value", "expected"), [(12, 12), (12.0, 12), (0, 0)])
    def test_whole_numbers_may_have_a_point(self, value: float, expected: int) -> None:
        fields, problems = read({"a": value})
        assert fields.integer("a", minimum=0) == expected
        assert isinstance(fields.integer("a", minimum=0), int)
        assert problems == []

    @pytest.mark.parametrize("value", [1.5, -1, True, "12", [1], 2**53 + 1])
    def test_other_values_are_no_whole_numbers(self, value: object) -> None:
        fields, problems = read({"a": value})
        assert fields.integer("a", minimum=0) is None
        assert "expected a whole number, 0 or more" in problems[0]

    def test_one_string_is_a_list_of_one(self) -> None:
        fields, _ = read({"a": "x"})
        assert fields.texts("a") == ("x",)

    def test_wrong_items_are_named_one_by_one(self) -> None:
        fields, problems = read({"a": ["x", 1, "y", {}], "b": [{}, 2]})
        assert fields.texts("a") == ("x", "y")
        assert len(fields.children("b")) == 1
        assert [problem.partition(",")[0] for problem in problems] == ["$.a[1]", "$.a[3]", "$.b[1]"]

    def test_wrong_kinds_are_named_with_what_was_expected(self) -> None:
        fields, problems = read({"a": 5})
        fields.text("a")
        fields.boolean("a")
        fields.texts("a")
        fields.child("a")
        fields.children("a")
        assert [problem.partition("expected ")[2] for problem in problems] == [
            *("a string", "true or false", "a list of strings", "an object", "a list of objects")
        ]
        assert problems[0] == "$.a, line 1, column 7: found 5, expected a string"

    def test_a_missing_key_that_was_misspelt_is_found(self) -> None:
        fields, problems = read({"verison": "1", "other": "2"})
        assert fields.text("version", required=True) is None
        assert problems == [
            "$.version, line 1, column 1: missing, expected a string. "
            'Did you misspell it as "verison" (line 1, column 13)?'
        ]

    def test_a_key_of_a_megabyte_is_not_compared(self) -> None:
        fields, problems = read({"v" * 500_000: 1})
        fields.text("version", required=True)
        assert problems == ["$.version, line 1, column 1: missing, expected a string"]

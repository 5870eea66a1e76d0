"""Fields of a body: types, null, names in messages."""

from __future__ import annotations

import pytest

from hivellm_lite.server.errors import APIError
from hivellm_lite.server.fields import Fields


def refused(read) -> APIError:
    with pytest.raises(APIError) as caught:
        read()
    assert caught.value.status == 400
    return caught.value


READERS = {
    "text": lambda fields: fields.text("x"),
    "flag": lambda fields: fields.flag("x"),
    "number": lambda fields: fields.number("x"),
    "whole": lambda fields: fields.whole("x", 0, 10),
    "choice": lambda fields: fields.choice("x", ["a", "b"]),
    "array": lambda fields: fields.array("x"),
    "nested": lambda fields: fields.nested("x"),
    "objects": lambda fields: fields.objects("x"),
    "texts": lambda fields: fields.texts("x", at_most=4),
}
WRONG = {
    "text": [1, True, [], {}],
    "flag": [0, "true", [], {}],
    "number": ["1", True, [], {}, 10**60],
    "whole": ["1", True, 1.5, [], {}, 11, -1, 10**60],
    "choice": ["c", 1, []],
    "array": ["a", {}, 1],
    "nested": ["a", [], 1],
    "objects": [{}, [1], ["a"]],
    "texts": [1, {}, [1], ["a"] * 5],
}


@pytest.mark.parametrize("kind", READERS)
def test_null_and_nothing_are_both_not_given(kind):
    assert READERS[kind](Fields({})) is None
    assert READERS[kind](Fields({"x": None})) is None


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_an_error_that_names_its_field(kind, value):
    error = refused(lambda: READERS[kind](Fields({"x": value}, "messages[2]")))
    assert error.param.startswith("messages[2].x")
    assert error.param in error.message
    assert error.code in ("invalid_type", "invalid_value")


def test_empty_texts_are_left_out():
    assert Fields({"x": ["", "a"]}).texts("x", at_most=4) == ["a"]
    assert Fields({"x": ""}).texts("x", at_most=4) == []


def test_right_values_are_returned():
    fields = Fields({"t": "a", "f": False, "n": 1, "w": 7.0, "s": "a", "l": ["a", "b"]})
    assert fields.text("t") == "a"
    assert fields.flag("f") is False
    assert fields.number("n") == 1
    assert fields.whole("w", 0, 10) == 7
    assert isinstance(fields.whole("w", 0, 10), int)
    assert fields.texts("s", at_most=4) == ["a"]
    assert fields.texts("l", at_most=4) == ["a", "b"]


def test_fields_inside_know_where_they_stand():
    (inner,) = Fields({"tools": [{"function": {"name": 1}}]}).objects("tools")
    function = inner.nested("function")
    assert refused(lambda: function.text("name")).param == "tools[0].function.name"
    assert refused(lambda: function.required("parameters")).code == "missing_required_parameter"


def test_unsupported_fields_are_refused_only_where_they_ask_for_something():
    fields = Fields({"logprobs": False, "tools": [], "audio": None, "echo": True})
    fields.refuse(["logprobs", "tools", "audio"])
    assert refused(lambda: fields.refuse(["echo"])).code == "unsupported_parameter"

"""What callers may pass as messages, tools, documents and variables."""

from __future__ import annotations

import pytest

from hivellm_lite.prompts.conversation import (
    MAX_DEPTH,
    MAX_VALUES,
    check_documents,
    check_messages,
    check_tools,
    check_variables,
    plain_value,
)

CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": (1, None)}}}


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], "empty"),
        (["hi"], r"messages\[0\]: must be a dict"),
        ([{"role": "user"}], "must be a dict with"),
        ([{"role": "assistant"}], "must be a dict with"),
        ([{"role": "robot", "content": "x"}], "role 'robot' is not one of"),
        ([{"role": "user", "content": ["x"]}], "content must be text"),
        ([{"role": "user", "content": "x", "tool_calls": [CALL]}], "only messages of the assist"),
        ([{"role": "assistant", "tool_calls": "x"}], "tool_calls must be a list"),
        ([{"role": "assistant", "tool_calls": [{}]}], r"tool_calls\[0\] must be a dict such as"),
        ([{"role": "assistant", "tool_calls": [{"function": {"name": 1}}]}], "must be a dict such"),
        ([{"role": "user", "content": "x", "more": {1}}], r"messages\[0\]\['more'\]: .*type set"),
    ],
)
def test_messages_of_another_form_are_refused(messages, problem):
    with pytest.raises(ValueError, match=problem):
        check_messages(messages)


def test_messages_keep_all_that_a_template_may_read():
    calling = {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "x"}
    result = {"role": "tool", "content": "1", "tool_call_id": "a"}
    (one, other) = check_messages([calling, result])
    assert one.given == {
        **calling,
        "tool_calls": [
            {"type": "function", "function": {"name": "f", "arguments": {"a": [1, None]}}}
        ],
    }
    assert (one.content, other.given) == ("", result)


@pytest.mark.parametrize(
    ("check", "value", "problem"),
    [
        (check_tools, [{"type": "function"}], r"tools\[0\]: must be a dict such as"),
        (check_tools, [{"function": "f"}], r"tools\[0\]: must be"),
        (check_tools, [3], r"tools\[0\]: must be"),
        (check_documents, ["text"], r"documents\[0\]: must be a dict with"),
        (check_variables, {"messages": 1}, "'messages'.*is given as an argument of its own"),
        (check_variables, {"a b": 1}, "'a b' is not the name of a variable"),
        (check_variables, {"__class__": 1}, "is not the name of a variable"),
        (check_variables, {"a": [1]}, "must be a text, a number, True, False or None"),
        (check_variables, {"enable_thinking": "no"}, "must be True or False"),
        (check_variables, {str(n): 1 for n in range(65)}, "65 variables"),
    ],
)
def test_tools_documents_and_variables_of_another_form_are_refused(check, value, problem):
    with pytest.raises(ValueError, match=problem):
        check(value)


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (float("nan"), "at: nan is no JSON number"),
        ({"a": [float("inf")]}, r"at\['a'\]\[0\]: inf"),
        (1 << 64, "more than 64 bits"),
        ({1: 2}, "the key 1 is not text"),
        (object(), "a value of the type object is no JSON value"),
        (nested(MAX_DEPTH + 1), f"more than {MAX_DEPTH} deep"),
        ([0] * MAX_VALUES, f"over {MAX_VALUES} values"),
    ],
)
def test_what_is_no_bounded_json_is_refused(value, problem):
    with pytest.raises(ValueError, match=problem):
        plain_value(value, "at")


def test_values_are_copied_and_become_plain():
    class Text(str):
        def __str__(self) -> str:
            return "other"

    given = {"a": [Text("x"), True, 1.5, None], "b": nested(MAX_DEPTH - 1)}
    found = plain_value(given, "at")
    assert found == given
    assert found["a"] is not given["a"]
    assert type(found["a"][0]) is str


@pytest.mark.parametrize("name", ["enable_thinking", "thinking"])
def test_a_switch_among_the_variables_says_whether_the_model_may_think(name):
    assert check_variables({name: True, "effort": "low"}) == ({"effort": "low"}, True)
    assert check_variables({name: False}) == ({}, False)


def test_what_is_not_given_is_empty():
    assert (check_tools(None), check_documents(None)) == ((), ())
    assert check_variables(None) == ({}, None)
    assert check_tools([{"name": "f"}]) == ({"name": "f"},)

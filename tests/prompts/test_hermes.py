"""Tools as texts, for formats that know nothing of them."""

from __future__ import annotations

import pytest

from hivellm_lite.chat_templates import ChatTemplate
from hivellm_lite.prompts.conversation import Conversation, Message
from hivellm_lite.prompts.hermes import told_in_texts, writes_hermes

TOOL = {"type": "function", "function": {"name": "f", "description": "é", "parameters": {}}}


def call(arguments: object, name: str = "f") -> dict:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def told(*messages: dict, tools: tuple = ()) -> list[tuple[str, str]]:
    talk = Conversation(tuple(map(Message, messages)), tools=tools)
    return [(one.role, one.content) for one in told_in_texts(talk).messages]


USER = {"role": "user", "content": "Hi"}


def test_the_tools_stand_after_the_system_message():
    (role, text), *rest = told(USER, tools=(TOOL,))
    assert (role, rest) == ("system", [("user", "Hi")])
    assert text.startswith("# Tools\n\n")
    assert '<tools>\n{"type": "function", "function": {"name": "f", "description": "é"' in text
    assert text.endswith("</tool_call>")
    assert told({"role": "system", "content": "S"}, USER, tools=(TOOL,))[0][1] == f"S\n\n{text}"


def test_calls_and_results_become_messages():
    found = told(
        USER,
        {"role": "assistant", "content": "I ask.", "tool_calls": [call({"a": 1}), call("{}")]},
        {"role": "tool", "content": "sun"},
        {"role": "tool", "content": "rain"},
        USER,
        {"role": "tool", "content": "late"},
    )
    one = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    other = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
    sun, rain, late = (
        f"<tool_response>\n{text}\n</tool_response>" for text in ("sun", "rain", "late")
    )
    assert found == [
        ("user", "Hi"),
        ("assistant", f"I ask.\n{one}\n{other}"),
        ("user", f"{sun}\n{rain}"),
        ("user", "Hi"),
        ("user", late),
    ]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"a":"\\u00e9"}', '{"a": "é"}'),
        ('{"a":"\\ud800"}', '{"a": "\\ud800"}'),
        ({"a": "\ud800"}, '{"a": "\\ud800"}'),
        ("{", "{"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_arguments_are_told_as_they_were_written(arguments, text):
    message = {"role": "assistant", "content": "", "tool_calls": [call(arguments)]}
    assert told(message)[0][1] == (
        f'<tool_call>\n{{"name": "f", "arguments": {text}}}\n</tool_call>'
    )


QWENS = (
    "{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}"
    "{% for m in messages %}{{ m.role }}{% for c in m.tool_calls or [] %}"
    '{{ \'<tool_call>\\n{"name": "\' ~ c.function.name ~ \'", "arguments": \' }}'
    "{{ c.function.arguments | tojson }}{{ '}\\n</tool_call>' }}{% endfor %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("source", "writes"),
    [
        (QWENS, True),
        (QWENS.replace('{"name"', '{"function"'), False),
        (QWENS.replace("if tools", "if functions").replace("in tools", "in functions"), False),
        ("{{ tools }}{{ raise_exception('no calls') }}", False),
        ("{{ messages[0].content }}", False),
    ],
)
def test_a_template_that_writes_this_form_is_known_by_what_it_writes(source, writes):
    assert writes_hermes(ChatTemplate(source)) is writes

"""Tools, calls and results as texts of ordinary messages, in the form of Hermes 2 Pro and Qwen.

It is for formats and chat templates that know nothing of tools.

Source: the chat template of Qwen3, which follows that of Hermes 2 Pro.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .conversation import Conversation, Message

if TYPE_CHECKING:
    from ..chat_templates import ChatTemplate

__all__ = ["told_in_texts", "writes_hermes"]

_BEFORE = """# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
"""
_AFTER = """
</tools>

For each function call, return a json object with function name and arguments within \
<tool_call></tool_call> XML tags:
<tool_call>
{"name": <function-name>, "arguments": <args-json-object>}
</tool_call>"""


def told_in_texts(conversation: Conversation) -> Conversation:
    """The conversation without tools and calls: its messages say them.

    The system message tells of the tools. Calls stand after the text of their message. Results
    of tools become messages of the user; those that follow one another become one.
    """
    messages: list[Message] = []
    results = False
    for message in conversation.messages:
        if message.role == "tool":
            text = f"<tool_response>\n{message.content}\n</tool_response>"
            if results:
                text = f"{messages.pop().content}\n{text}"
            messages.append(Message.of("user", text))
        elif message.calls:
            calls = map(_call_text, message.calls)
            text = "\n".join([message.content, *calls] if message.content else calls)
            messages.append(message.saying(text))
        else:
            messages.append(message)
        results = message.role == "tool"
    if conversation.tools:
        told = _tools_text(conversation.tools)
        if messages and messages[0].role == "system":
            told = f"{messages.pop(0).content}\n\n{told}"
        messages.insert(0, Message.of("system", told))
    return replace(conversation, messages=tuple(messages), tools=())


def _tools_text(tools: Sequence[Mapping[str, Any]]) -> str:
    """The part of the system message that tells of the tools."""
    lines = [json.dumps(tool, ensure_ascii=False) for tool in tools]
    return _BEFORE + "\n".join(lines) + _AFTER


def _call_text(call: Mapping[str, Any]) -> str:
    """A call as the model has written it. Its arguments are an object, JSON text, or what a model
    wrote instead.
    """
    function = call.get("function", call)
    arguments = function.get("arguments", {})
    if not isinstance(arguments, str):
        arguments = _json_text(arguments)
    else:
        with contextlib.suppress(ValueError, RecursionError):  # a mistake that the model may see
            arguments = _json_text(json.loads(arguments))
    name = json.dumps(function["name"])
    return f'<tool_call>\n{{"name": {name}, "arguments": {arguments}}}\n</tool_call>'


def _json_text(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair stays escaped
        return json.dumps(value)
    return text


_PROBE = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}],
}
_PROBED = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'


def writes_hermes(template: ChatTemplate) -> bool:
    """Whether a chat template writes tools and calls in this form itself."""
    from ..chat_templates import ChatTemplateError

    if not template.reads("tools"):
        return False
    function = {"name": "f", "description": "x", "parameters": {"type": "object"}}
    try:
        rendered = template.render(
            [{"role": "user", "content": "x"}, _PROBE],
            tools=[{"type": "function", "function": function}],
            add_generation_prompt=False,
        )
    except ChatTemplateError:
        return False
    return _PROBED in rendered.text

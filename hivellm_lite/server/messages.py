"""The messages of a conversation as OpenAI's API writes them, as the library takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..prompts.conversation import plain_value
from .errors import invalid, unsupported
from .fields import Fields, type_error

__all__ = [
    "MAX_MESSAGES",
    "Conversation",
    "Turn",
    "call_of",
    "conversation",
    "read_content",
    "read_messages",
    "read_prompt",
]

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
}
"""Roles in a request, and what the library calls them."""

MAX_MESSAGES = 10_000
"""A conversation has hundreds at most; templates walk through all of them several times."""

Turn = dict[str, Any]
"""A message as the library takes it: ``role``, ``content``, and perhaps ``tool_calls`` and others.
"""


@dataclass(frozen=True)
class Conversation:
    """``question``: the user's last message, by which ``auto`` chooses."""

    messages: list[Turn]
    question: str

    @property
    def has_system(self) -> bool:
        """Whether it begins with a system message."""
        return bool(self.messages[0]["role"] == "system")


def conversation(turns: Iterable[Turn]) -> Conversation:
    """The conversation of these turns. Calls without a text of their own belong to the
    assistant's message before them.
    """
    messages: list[Turn] = []
    for turn in turns:
        last = messages[-1] if messages else {}
        if "content" in turn:
            messages.append(turn)
        elif last.get("role") == "assistant":
            calls = [*last.get("tool_calls", ()), *turn["tool_calls"]]
            messages[-1] = {**last, "tool_calls": calls}
        else:
            messages.append({**turn, "content": ""})
    questions = [turn["content"] for turn in messages if turn["role"] == "user"]
    return Conversation(messages, questions[-1] if questions else "")


def read_messages(body: Fields) -> Conversation:
    """The field ``messages``.

    ``content`` is a string or a list of text parts, which are joined; an assistant's may be null.
    Raises APIError, naming the message, for anything else.
    """
    body.required("messages")
    given = body.objects("messages")
    assert given is not None  # it is required  # noqa: S101
    if not given:
        raise invalid("messages", "Invalid 'messages': it is empty.")
    if len(given) > MAX_MESSAGES:
        raise invalid("messages", f"Invalid 'messages': more than {MAX_MESSAGES:,} messages.")
    return conversation(map(_turn, given))


def read_prompt(body: Fields) -> str | None:
    """The ``prompt``, or None where ``messages`` stand for it. Raises APIError for both or none."""
    prompt = body.text("prompt")
    if (prompt is None) == (body.value("messages") is None):
        raise invalid("prompt", "Give either 'prompt' or 'messages'.")
    return prompt


def _turn(message: Fields) -> Turn:
    message.required("role")
    role = message.choice("role", list(_ROLES))
    assert role is not None  # it is required  # noqa: S101
    message.refuse(["function_call", "audio"])
    calls = [_call(one) for one in message.objects("tool_calls") or ()]
    if calls and role != "assistant":
        path = message.path("tool_calls")
        raise invalid(path, f"Invalid '{path}': only an assistant's message has calls.")
    content = ""
    if role != "assistant" or message.value("content") is not None:
        message.required("content")
        content = read_content(message, ("text",))
    turn: Turn = {"role": _ROLES[role], "content": content}
    if calls:
        turn["tool_calls"] = calls
    told = (("reasoning_content", "assistant"), ("tool_call_id", "tool"), ("name", "tool"))
    for name, whose in told:
        if role == whose and (text := message.text(name)) is not None:
            turn[name] = text
    return turn


def _call(call: Fields) -> dict[str, Any]:
    call.required("function")
    function = call.nested("function")
    assert function is not None  # it is required  # noqa: S101
    function.required("name")
    return call_of(function.text("name") or "", function.text("arguments") or "{}", call.text("id"))


def call_of(name: str, arguments: str, call_id: str | None) -> dict[str, Any]:
    """A call as the library takes it. ``arguments``: JSON text, or what a model wrote instead."""
    function = {"name": name, "arguments": _arguments(arguments)}
    head = {"id": call_id} if call_id is not None else {}
    return {**head, "type": "function", "function": function}


def _arguments(text: str) -> object:
    """The object that a text says, which chat templates want; the text if it says none."""
    try:
        found = json.loads(text)
        return plain_value(found, "arguments") if isinstance(found, dict) else text
    except (ValueError, RecursionError):  # a mistake that the model may see
        return text


def read_content(message: Fields, kinds: tuple[str, ...], *, name: str = "content") -> str:
    """The field ``name``: a string, or parts of one of these ``kinds``, joined."""
    value = message.value(name)
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise type_error(message.path(name), "a string or an array of parts", value)
    return "".join(_part(one, kinds) for one in message.objects(name) or ())


def _part(part: Fields, kinds: tuple[str, ...]) -> str:
    part.required("type")
    kind = part.text("type")
    if kind not in kinds:
        raise unsupported(
            part.path("type"), f"A part of the type {kind!r:.60} cannot be read; send text."
        )
    part.required("text")
    return part.text("text") or ""

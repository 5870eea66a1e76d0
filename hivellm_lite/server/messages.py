"""The messages of a conversation as OpenAI's API writes them, as the library takes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .errors import invalid, unsupported
from .fields import Fields, type_error
from .tools.prompt import call_text, calls_after, result_text

__all__ = [
    "MAX_MESSAGES",
    "Conversation",
    "Turn",
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

_SAID_BY = {"tool": "user", "call": "assistant"}
"""Whose messages the turns become that are none of the library's."""

Turn = tuple[str, str]
"""A role, ``tool`` and ``call`` among them, and a text."""


@dataclass(frozen=True)
class Conversation:
    """``messages``: dicts of ``role`` and ``content``. ``question``: the user's last message, by
    which ``auto`` chooses.
    """

    messages: list[dict[str, str]]
    question: str

    @property
    def system(self) -> str | None:
        """The system message at the beginning, or None."""
        first = self.messages[0]
        return first["content"] if first["role"] == "system" else None


def conversation(turns: Iterable[Turn]) -> Conversation:
    """The conversation of these turns. Results of tools become messages of the user; those that
    follow one another become one, as Qwen's template writes them. Calls belong to the assistant's
    message before them.
    """
    joined: list[tuple[str, list[str]]] = []
    question, last = "", ""
    for role, text in turns:
        if role == "user":
            question = text
        if role == "tool":
            text = result_text(text)
        if (role == "tool" == last) or (role == "call" and last in ("assistant", "call")):
            joined[-1][1].append(text)
        else:
            joined.append((_SAID_BY.get(role, role), [text]))
        last = role
    messages = [
        {"role": role, "content": calls_after(first, rest)} for role, (first, *rest) in joined
    ]
    return Conversation(messages, question)


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
    if role == "assistant" and message.value("content") is None:
        return role, calls_after("", calls)
    message.required("content")
    return _ROLES[role], calls_after(read_content(message, ("text",)), calls)


def _call(call: Fields) -> str:
    call.required("function")
    function = call.nested("function")
    assert function is not None  # it is required  # noqa: S101
    function.required("name")
    return call_text(function.text("name") or "", function.text("arguments") or "{}")


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

"""The messages of a conversation as OpenAI's API writes them, as the library takes them."""

from __future__ import annotations

from .errors import invalid, unsupported
from .fields import Fields, type_error

__all__ = ["read_messages", "read_prompt"]

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


def read_messages(body: Fields) -> list[dict[str, str]]:
    """The conversation as dicts of ``role`` and ``content``.

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
    return [_read(one) for one in given]


def read_prompt(body: Fields) -> str | None:
    """The ``prompt``, or None where ``messages`` stand for it. Raises APIError for both or none."""
    prompt = body.text("prompt")
    if (prompt is None) == (body.value("messages") is None):
        raise invalid("prompt", "Give either 'prompt' or 'messages'.")
    return prompt


def _read(message: Fields) -> dict[str, str]:
    message.required("role")
    role = message.choice("role", list(_ROLES))
    assert role is not None  # it is required  # noqa: S101
    message.refuse(["tool_calls", "function_call", "audio"])
    if role == "assistant" and message.value("content") is None:
        return {"role": role, "content": ""}
    message.required("content")
    return {"role": _ROLES[role], "content": _content(message)}


def _content(message: Fields) -> str:
    value = message.value("content")
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise type_error(message.path("content"), "a string or an array of parts", value)
    return "".join(map(_part, message.objects("content") or ()))


def _part(part: Fields) -> str:
    part.required("type")
    kind = part.text("type")
    if kind != "text":
        raise unsupported(
            part.path("type"), f"A part of the type {kind!r:.60} cannot be read; send text."
        )
    part.required("text")
    return part.text("text") or ""

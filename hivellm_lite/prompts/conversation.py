"""What is said to a model: messages, tools and documents, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

__all__ = [
    "TOOL_FORMS",
    "Conversation",
    "Message",
    "ToolForm",
    "check_documents",
    "check_messages",
    "check_tools",
    "check_variables",
    "plain_value",
]

ROLES = ("system", "user", "assistant", "tool")

ToolForm = Literal["template", "hermes"]
"""Who says how tools and calls are written: the chat template if it can, or Hermes in any case."""

TOOL_FORMS: tuple[ToolForm, ...] = ("template", "hermes")

MAX_DEPTH = 32
"""How deeply the values of a message or tool may be nested; schemas of tools have five levels."""

MAX_VALUES = 100_000
"""Values in all tools, or in one message; 128 large tools have ten thousand."""

MAX_VARIABLES = 64

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_TAKEN = frozenset(("messages", "tools", "documents", "add_generation_prompt"))


@dataclass(frozen=True)
class Message:
    """A turn, as it was given: ``role`` and ``content``, and perhaps ``tool_calls``,
    ``tool_call_id``, ``reasoning_content`` and others that chat templates know.
    """

    given: Mapping[str, Any]

    @classmethod
    def of(cls, role: str, content: str) -> Message:
        """A message that is only text."""
        return cls({"role": role, "content": content})

    @property
    def role(self) -> str:
        return str(self.given["role"])

    @property
    def content(self) -> str:
        """The text; empty where an answer consists of calls."""
        return self.given.get("content") or ""

    @property
    def calls(self) -> Sequence[Mapping[str, Any]]:
        """The calls of tools."""
        return self.given.get("tool_calls") or ()

    def saying(self, content: str) -> Message:
        """The message with another text, and without calls."""
        rest = {name: value for name, value in self.given.items() if name != "tool_calls"}
        return Message({**rest, "content": content})


@dataclass(frozen=True)
class Conversation:
    """Everything that a prompt is made of; all values in it are plain JSON values.

    ``thinking``: whether the model may think. ``variables``: more variables of a chat template.
    """

    messages: tuple[Message, ...]
    thinking: bool = False
    tools: tuple[Mapping[str, Any], ...] = ()
    documents: tuple[Mapping[str, Any], ...] = ()
    tool_form: ToolForm = "template"
    variables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_calls(self) -> bool:
        """Whether tools are told of, or were called."""
        results = self.tool_form == "hermes" and any(one.role == "tool" for one in self.messages)
        return results or bool(self.tools) or any(message.calls for message in self.messages)

    def with_system(self, text: str) -> Conversation:
        """The conversation with a system message in front."""
        return replace(self, messages=(Message.of("system", text), *self.messages))


def check_messages(messages: Sequence[Mapping[str, object]]) -> tuple[Message, ...]:
    """``messages`` as typed records. Raises ValueError for anything else."""
    found = []
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        if not isinstance(message, Mapping) or "role" not in message:
            raise ValueError(f"{where}: must be a dict with 'role' and 'content'")
        given = plain_value(message, where)
        role, content, calls = given["role"], given.get("content"), given.get("tool_calls")
        if not isinstance(role, str) or role not in ROLES:
            raise ValueError(f"{where}: role {role!r:.60} is not one of {', '.join(ROLES)}")
        if calls and role != "assistant":
            raise ValueError(f"{where}: only messages of the assistant have tool_calls")
        _check_calls(calls, where)
        if content is None and not calls:
            raise ValueError(f"{where}: must be a dict with 'role' and 'content'")
        if content is not None and not isinstance(content, str):
            raise ValueError(f"{where}: content must be text")
        found.append(Message(given))
    if not found:
        raise ValueError("messages is empty")
    return tuple(found)


def _check_calls(calls: object, where: str) -> None:
    if calls is None:
        return
    if not isinstance(calls, list):
        raise ValueError(f"{where}: tool_calls must be a list")
    for index, call in enumerate(calls):
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ValueError(
                f"{where}: tool_calls[{index}] must be a dict such as "
                "{'type': 'function', 'function': {'name': 'f', 'arguments': {}}}"
            )


def check_tools(tools: Sequence[Mapping[str, object]] | None) -> tuple[dict[str, Any], ...]:
    """The functions that a model may call. Raises ValueError for anything else."""
    found = tuple(plain_value(list(tools or ()), "tools"))
    for index, tool in enumerate(found):
        function = tool.get("function", tool) if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise ValueError(
                f"tools[{index}]: must be a dict such as {{'type': 'function', 'function': "
                "{'name': 'f', 'description': '…', 'parameters': {…}}}"
            )
    return found


def check_documents(documents: Sequence[Mapping[str, object]] | None) -> tuple[dict[str, Any], ...]:
    """The documents that an answer may quote. Raises ValueError for anything else."""
    found = tuple(plain_value(list(documents or ()), "documents"))
    for index, document in enumerate(found):
        if not isinstance(document, dict):
            raise ValueError(f"documents[{index}]: must be a dict with 'title' and 'text'")
    return found


def check_variables(variables: Mapping[str, object] | None) -> tuple[dict[str, Any], bool | None]:
    """More variables of a chat template: texts, numbers, true, false and None; and whether those
    that are a switch let the model think. None if there is no switch.

    Raises ValueError for other values, and for names that mean something else.
    """
    given = dict(variables or {})
    if not given:
        return {}, None
    from ..chat_templates.template import THINKING_SWITCHES

    if len(given) > MAX_VARIABLES:
        raise ValueError(f"chat_template_kwargs: {len(given)} variables, over {MAX_VARIABLES}")
    thinking = None
    for name, value in [*given.items()]:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"chat_template_kwargs: {name!r:.80} is not the name of a variable")
        where = f"chat_template_kwargs[{name!r}]"
        if name in _TAKEN:
            raise ValueError(f"{where}: is given as an argument of its own")
        if isinstance(plain_value(value, where), (list, dict)):
            raise ValueError(f"{where}: must be a text, a number, True, False or None")
        if name in THINKING_SWITCHES:
            if not isinstance(value, bool):
                raise ValueError(f"{where}: must be True or False")
            thinking = bool(given.pop(name))
    return given, thinking


def plain_value(value: object, where: str) -> Any:
    """A copy of ``value`` made of plain JSON values. Raises ValueError for any other."""
    left = MAX_VALUES

    def copied(one: object, path: str, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"{where}: over {MAX_VALUES} values")
        if depth > MAX_DEPTH:
            raise ValueError(f"{where}: nested more than {MAX_DEPTH} deep")
        if one is None or isinstance(one, bool):
            return one
        if isinstance(one, str):
            return str.__str__(one)
        if isinstance(one, int):
            if one.bit_length() > 64:
                raise ValueError(f"{path}: a whole number of more than 64 bits")
            return int(one)
        if isinstance(one, float):
            if not math.isfinite(one):
                raise ValueError(f"{path}: {one} is no JSON number")
            return float(one)
        if isinstance(one, Mapping):
            for key in one:
                if not isinstance(key, str):
                    raise ValueError(f"{path}: the key {key!r:.80} is not text")
            return {
                str.__str__(key): copied(inner, f"{path}[{key!r:.60}]", depth + 1)
                for key, inner in one.items()
            }
        if isinstance(one, (list, tuple)):
            return [copied(inner, f"{path}[{i}]", depth + 1) for i, inner in enumerate(one)]
        raise ValueError(f"{path}: a value of the type {type(one).__name__} is no JSON value")

    return copied(value, where, 0)

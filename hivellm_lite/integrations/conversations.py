"""A conversation with tools, as other libraries have it in the form of OpenAI's API.

Messages and tools are read as the server reads them, so an expert answers the same way in both.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..expert import Expert
from ..inference.results import InferenceResult
from ..prompts.tags import RAW, system_message
from ..requests.options import GenerationOptions
from ..server.errors import APIError
from ..server.fields import Fields
from ..server.messages import read_messages
from ..server.tools.asking import offer_tools
from ..server.tools.definitions import read_tools
from ..server.tools.reader import Call, CallReader, read_answer

__all__ = ["Answer", "Question", "arguments", "ask", "new_call_id", "read"]


@dataclass(frozen=True)
class Question:
    """``options``: those of `Expert.generate`. ``may_call``: whether the answer may call tools."""

    options: GenerationOptions
    may_call: bool

    def reader(self) -> CallReader | None:
        """What finds the calls in the pieces of the answer; None where there can be none."""
        return CallReader() if self.may_call else None


@dataclass(frozen=True)
class Answer:
    """``finish_reason``: ``tool_calls`` where the answer is complete and calls tools."""

    text: str
    calls: Sequence[Call]
    finish_reason: str


def ask(
    expert: Expert,
    messages: Iterable[Mapping[str, object]],
    options: Mapping[str, object],
    **tools: object,
) -> Question:
    """The question that ``messages`` put to ``expert``, with the options of `GenerationOptions`.

    Without a system message and without ``schema`` or ``system``, the message that the expert was
    trained with comes first. ``tools`` has the fields ``tools``, ``tool_choice`` and
    ``parallel_tool_calls`` of OpenAI's API; others are not looked at.

    Raises ValueError for what cannot be said to an expert, such as a picture; it names the message.
    """
    body = Fields({"messages": [dict(one) for one in messages], **tools})
    try:
        talk, offered = read_messages(body), read_tools(body, nested=True)
        question = GenerationOptions(**options)  # type: ignore[typeddict-item]
        question["messages"] = talk.messages
        question["tool_form"] = "hermes"
        if talk.has_system and question.get("schema") is not None:
            raise ValueError("schema: the messages have a system message, which replaces it")
        is_told = talk.has_system or question.keys() & {"schema", "system"}
        if not is_told and question.get("template") != RAW:
            question["system"] = system_message(expert.manifest, None)
        if offered is not None:
            offer_tools(question, offered)
    except APIError as error:
        raise ValueError(str(error)) from None
    return Question(question, offered is not None)


def read(result: InferenceResult, question: Question) -> Answer:
    """The text and the calls of a whole answer."""
    text, calls = read_answer(result.text) if question.may_call else (result.text, [])
    called = bool(calls) and calls[-1].whole and result.finish_reason == "stop"
    return Answer(text, calls, "tool_calls" if called else result.finish_reason)


def arguments(call: Call) -> dict[str, object] | None:
    """The arguments of a call; None where the answer was cut off in them."""
    return dict(json.loads(call.arguments)) if call.whole else None


def new_call_id() -> str:
    """A name by which a tool's result says whose it is."""
    return f"call_{secrets.token_hex(12)}"

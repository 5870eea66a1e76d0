"""Reads a request for a response."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.types import ASGIApp

from ...inference.off_loop import off_loop
from ...requests.builder import MAX_LOGPROBS
from ..answering import Answering
from ..asking import read_asked, read_format, with_seeds
from ..body import read_body
from ..conversing import ask_about
from ..errors import invalid, unsupported
from ..fields import Fields, type_error
from ..messages import MAX_MESSAGES, Conversation, Turn, call_of, conversation, read_content
from ..service import Service, service_of
from ..tools.definitions import read_tools
from .form import ResponseForm

__all__ = ["responses"]

_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}

_PARTS = ("input_text", "output_text", "text")

_LOGPROBS = "message.output_text.logprobs"
"""The entry of ``include`` that asks for probabilities."""


async def responses(request: Request) -> ASGIApp:
    """Read a request for a response."""
    service = service_of(request)
    body = await read_body(request)
    return await off_loop(lambda: _read(body, service))


def _read(body: Fields, service: Service) -> Answering:
    """Takes time for long prompts and for grammars, so it is called in a thread."""
    for name in ("previous_response_id", "conversation"):
        if body.value(name) is not None:
            advice = "It keeps no conversations: send all of it in 'input'."
            raise unsupported(name, advice)
    body.refuse(["background", "prompt"])
    talk = _conversation(body)
    tools = read_tools(body, nested=False)
    asked = read_asked(body, service, talk.question)
    text = body.nested("text")
    schema = read_format(text.nested("format") if text is not None else None, nested=False)
    ask = ask_about(body, service, asked, talk, tools=tools, schema=schema)
    ask["logprobs"] = _logprobs(body)
    return Answering(
        service=service,
        name=asked.name,
        model=asked.model,
        asks=with_seeds([ask]),
        form=ResponseForm(asked.model, _told_again(body), tools=tools is not None),
        stream=body.flag("stream") or False,
    )


def _logprobs(body: Fields) -> int | None:
    """How many tokens are told at each place; None tells no probabilities."""
    n_top = body.whole("top_logprobs", 0, MAX_LOGPROBS)
    include = body.texts("include", at_most=100) or ()
    return (n_top or 0) if n_top or _LOGPROBS in include else None


def _told_again(body: Fields) -> Mapping[str, object]:
    """What a response repeats of its request, with OpenAI's defaults."""
    defaults: dict[str, object] = {
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
    }
    given = {name: body.value(name) for name in defaults if body.value(name) is not None}
    text, tools = body.nested("text"), body.objects("tools") or ()
    if text is not None:
        given["text"] = {"format": {"type": "text"}, **_given(text)}
    given["tools"] = [
        {"description": None, "parameters": None, "strict": False, **_given(tool)} for tool in tools
    ]
    return {**defaults, **given}


def _given(fields: Fields) -> Mapping[str, object]:
    return {name: value for name, value in fields.all().items() if value is not None}


def _conversation(body: Fields) -> Conversation:
    body.required("input")
    value = body.value("input")
    instructions = body.text("instructions")
    system = [instructions] if instructions else []
    turns: list[Turn] = []
    if isinstance(value, str):
        return conversation([*_system(system), _said("user", value)])
    if not isinstance(value, list):
        raise type_error("input", "a string or an array of items", value)
    if not value:
        raise invalid("input", "Invalid 'input': it is empty.")
    if len(value) > MAX_MESSAGES:
        raise invalid("input", f"Invalid 'input': more than {MAX_MESSAGES:,} items.")
    for item in body.objects("input") or ():
        _add(turns, item, system)
    if not (system or turns):
        raise invalid("input", "Invalid 'input': no item of it says anything.")
    return conversation([*_system(system), *turns])


def _system(texts: list[str]) -> list[Turn]:
    return [_said("system", "\n\n".join(texts))] if texts else []


def _said(role: str, text: str) -> Turn:
    return {"role": role, "content": text}


def _add(turns: list[Turn], item: Fields, system: list[str]) -> None:
    """Add what an item says. ``system`` takes the system messages before all others."""
    kind = item.text("type") or "message"
    if kind == "reasoning":  # what a model thought is not told to it again
        return
    if kind == "function_call":
        item.required("name")
        name, arguments = item.text("name") or "", item.text("arguments") or "{}"
        call = call_of(name, arguments, item.text("call_id"))
        turns.append({"role": "assistant", "tool_calls": [call]})
    elif kind == "function_call_output":
        item.required("output")
        turn = _said("tool", read_content(item, _PARTS, name="output"))
        call_id = item.text("call_id")
        turns.append(turn if call_id is None else {**turn, "tool_call_id": call_id})
    elif kind == "message":
        item.required("role", "content")
        role = item.choice("role", list(_ROLES)) or ""
        text = read_content(item, _PARTS)
        if _ROLES[role] == "system" and not turns:
            system.append(text)
        else:
            turns.append(_said(_ROLES[role], text))
    else:
        path = item.path("type")
        raise unsupported(path, f"An item of the type {kind!r:.60} cannot be read.")

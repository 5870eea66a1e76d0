"""The tools of a request, and which of them the answer may or must call."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import invalid, unsupported
from ..fields import Fields, type_error

__all__ = ["Tool", "Tools", "read_tools"]

MAX_TOOLS = 128
"""OpenAI's limit."""

_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")
"""OpenAI allows letters, digits, ``_`` and ``-``; names of MCP servers have the rest."""

_PLAIN = {
    *("type", "properties", "required", "title", "description", "$schema", "$defs", "definitions")
}
"""Keywords of a schema that says nothing of properties that it does not list."""


@dataclass(frozen=True)
class Tool:
    """A function. ``parameters``: the JSON text of a schema of objects. ``strict``: whether a
    schema that cannot be enforced is an error. ``at``: the field that defines it.
    """

    name: str
    description: str
    parameters: str
    strict: bool
    at: str

    def as_dict(self) -> dict[str, object]:
        """The function as models are told of it."""
        function: dict[str, object] = {"name": self.name}
        if self.description:
            function["description"] = self.description
        function["parameters"] = json.loads(self.parameters)
        return {"type": "function", "function": function}


@dataclass(frozen=True)
class Tools:
    """``shown`` are told to the model, and ``callable`` may be called. ``required``: at least one
    must be. ``parallel``: several may be, in one answer.
    """

    shown: tuple[Tool, ...]
    callable: tuple[Tool, ...]
    required: bool = False
    parallel: bool = True


def read_tools(body: Fields, *, nested: bool) -> Tools | None:
    """The fields ``tools``, ``tool_choice`` and ``parallel_tool_calls``; None where nothing can be
    called.

    ``nested``: a function's fields stand in one more object, as in chat completions, not beside
    its ``type``, as in responses. Raises APIError, naming the field, for anything else.
    """
    given = body.objects("tools") or []
    if len(given) > MAX_TOOLS:
        raise invalid("tools", f"Invalid 'tools': {len(given)} tools, more than {MAX_TOOLS}.")
    tools = tuple(_read(_function(one, nested=nested)) for one in given)
    names = [tool.name for tool in tools]
    for name in names:
        if names.count(name) > 1:
            raise invalid("tools", f"Invalid 'tools': two are named '{name}'.")
    found = Tools(tools, tools, parallel=body.flag("parallel_tool_calls") is not False)
    return _chosen(body, found, nested=nested)


def _function(one: Fields, *, nested: bool) -> Fields:
    one.required("type")
    kind = one.text("type")
    if kind != "function":
        raise unsupported(one.path("type"), f"A tool of the type {kind!r:.60} cannot be called.")
    if not nested:
        return one
    one.required("function")
    inner = one.nested("function")
    assert inner is not None  # it is required  # noqa: S101
    return inner


def _read(function: Fields) -> Tool:
    function.required("name")
    name = function.text("name") or ""
    if not _NAME.fullmatch(name):
        path = function.path("name")
        raise invalid(path, f"Invalid '{path}': use 1 to 128 letters, digits and _ - . : / in it.")
    return Tool(
        name=name,
        description=function.text("description") or "",
        parameters=json.dumps(_parameters(function), ensure_ascii=False),
        strict=function.flag("strict") or False,
        at=function.at,
    )


def _parameters(function: Fields) -> dict[str, object]:
    """The schema; one that lists properties allows no others unless it says so."""
    given = function.nested("parameters")
    if given is None:
        return {"type": "object", "properties": {}, "additionalProperties": False}
    schema = dict(given.all())
    if schema.get("type") == ["object", "null"]:
        schema["type"] = "object"
    if schema.setdefault("type", "object") != "object":
        path = given.path("type")
        raise invalid(path, f"Invalid '{path}': the parameters of a function are an object.")
    if schema.keys() <= _PLAIN and "properties" in schema:
        schema["additionalProperties"] = False
    return schema


def _chosen(body: Fields, tools: Tools, *, nested: bool) -> Tools | None:
    choice = body.value("tool_choice")
    if choice is None or isinstance(choice, str):
        said = body.choice("tool_choice", ["none", "auto", "required"])
        if said == "required" and not tools.shown:
            raise invalid("tool_choice", "Invalid 'tool_choice': there are no 'tools' to call.")
        if said == "none" or not tools.shown:
            return None
        return replace(tools, required=said == "required")
    if not isinstance(choice, dict):
        raise type_error("tool_choice", "a string or an object", choice)
    asked = Fields(choice, "tool_choice")
    asked.required("type")
    if asked.choice("type", ["function", "allowed_tools"]) == "function":
        # one that is demanded is called once
        return replace(
            tools, callable=_named([asked], tools, nested), required=True, parallel=False
        )
    allowed = asked.nested("allowed_tools") if nested else asked
    if allowed is None:
        raise type_error("tool_choice.allowed_tools", "an object", None)
    allowed.required("tools", "mode")
    mode = allowed.choice("mode", ["auto", "required"])
    listed = _named(allowed.objects("tools") or [], tools, nested)
    if not listed:
        raise invalid(allowed.path("tools"), f"Invalid '{allowed.path('tools')}': it is empty.")
    return replace(tools, callable=listed, required=mode == "required")


def _named(choices: Sequence[Fields], tools: Tools, nested: bool) -> tuple[Tool, ...]:
    """The tools that ``choices`` name, in the order of ``tools``."""
    names = set()
    for one in choices:
        function = _function(one, nested=nested)
        function.required("name")
        name = function.text("name") or ""
        if name not in {tool.name for tool in tools.shown}:
            path = function.path("name")
            raise invalid(path, f"Invalid '{path}': there is no tool '{name[:128]}' in 'tools'.")
        names.add(name)
    return tuple(tool for tool in tools.shown if tool.name in names)

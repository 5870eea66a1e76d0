"""What a model is told of tools, of its own calls and of their results.

Source: the chat template of Qwen3, which follows that of Hermes 2 Pro.
"""

from __future__ import annotations

import contextlib
import json

from .definitions import Tools

__all__ = ["call_text", "calls_after", "result_text", "tools_text"]

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


def tools_text(tools: Tools) -> str:
    """The part of the system message that tells of the tools."""
    lines = []
    for tool in tools.shown:
        function: dict[str, object] = {"name": tool.name}
        if tool.description:
            function["description"] = tool.description
        function["parameters"] = json.loads(tool.parameters)
        lines.append(json.dumps({"type": "function", "function": function}, ensure_ascii=False))
    return _BEFORE + "\n".join(lines) + _AFTER


def call_text(name: str, arguments: str) -> str:
    """A call as the model has written it. ``arguments``: JSON, or what a model wrote instead."""
    with contextlib.suppress(ValueError, RecursionError):  # a mistake that the model may see
        written = json.dumps(json.loads(arguments), ensure_ascii=False)
        written.encode()  # half of a surrogate pair stays escaped
        arguments = written
    return f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {arguments}}}\n</tool_call>'


def calls_after(content: str, calls: list[str]) -> str:
    """An assistant's message that ends with calls."""
    return "\n".join([content, *calls] if content else calls)


def result_text(content: str) -> str:
    """What a tool has returned, as a user's message says it."""
    return f"<tool_response>\n{content}\n</tool_response>"

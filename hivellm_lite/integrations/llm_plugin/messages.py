"""The messages of ``llm`` in the form of OpenAI's API."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from llm.parts import Message, ReasoningPart, TextPart, ToolCallPart, ToolResultPart

__all__ = ["openai_messages"]


def openai_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Raises ValueError for what no expert reads, such as attachments."""
    return [one for message in messages for one in _said(message)]


def _said(message: Message) -> list[dict[str, Any]]:
    """The message, and a message for each result of a tool in it."""
    texts, thoughts, calls, results = [], [], [], []
    for part in message.parts:
        if isinstance(part, TextPart):
            texts.append(part.text)
        elif isinstance(part, ReasoningPart):
            thoughts.append(part.text)
        elif isinstance(part, ToolCallPart) and not part.server_executed:
            function = {"name": part.name, "arguments": json.dumps(part.arguments)}
            calls.append({"id": part.tool_call_id, "type": "function", "function": function})
        elif isinstance(part, ToolResultPart) and not (part.server_executed or part.attachments):
            result = {"content": part.output, "tool_call_id": part.tool_call_id, "name": part.name}
            results.append({"role": "tool", **result})
        else:
            raise ValueError(f"an expert reads texts and calls of tools, no {type(part).__name__}")
    if results and not texts:
        return results
    said: dict[str, Any] = {"role": message.role, "content": "".join(texts)}
    if calls:
        said["tool_calls"] = calls
    if thoughts:
        said["reasoning_content"] = "".join(thoughts)
    return [said, *results]

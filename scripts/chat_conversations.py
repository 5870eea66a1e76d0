"""Conversations by which chat templates are compared with Transformers.

Each is what ``apply_chat_template`` takes: ``messages``, and perhaps ``tools``, ``documents`` and
switches. They are of no template in particular, so some templates refuse some of them.
"""

from __future__ import annotations

from typing import Any

__all__ = ["CONVERSATIONS", "texts_changed"]

USER = {"role": "user", "content": "How many users are there?"}
SYSTEM = {"role": "system", "content": "Answer in one word."}
ANSWER = {"role": "assistant", "content": "Seven."}
MORE = {"role": "user", "content": "And in 2024?"}

EDGES = [
    {"role": "system", "content": "  Spaces around,\n\nand two lines.\n"},
    {
        "role": "user",
        "content": "\n naïve 東京 🙂 e\u0301 {{ 7 * 7 }} {% raw %} 100 % <b>&amp;</b>\t\n",
    },
    {"role": "assistant", "content": " \"quoted\" 'single' \\ back\\nslash  "},
    {"role": "user", "content": "   "},
    {"role": "assistant", "content": ""},
    {"role": "user", "content": "  leading"},
]

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a place, now & later.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "A town <or> a village."},
                    "unit": {"type": "string", "enum": ["°C", "°F"], "default": "°C"},
                    "days": {"type": "array", "items": {"type": "integer"}},
                    "near": {
                        "type": "object",
                        "description": "Where else.",
                        "properties": {"km": {"type": "number"}},
                    },
                },
                "required": ["place"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "now",
            "description": "The time.",
            "parameters": {"type": "object", "properties": {}, "required": []},
        },
    },
]


def _call(name: str, arguments: dict[str, Any], call_id: str) -> dict[str, Any]:
    return {
        "id": call_id,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


CALLING = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        _call("get_weather", {"place": "Zürich", "days": [1, 2], "near": {"km": 2.5}}, "call00001")
    ],
}
TWICE = {
    "role": "assistant",
    "content": "I ask twice.",
    "tool_calls": [
        _call("get_weather", {"place": 'Bern "old"\n', "unit": "°C"}, "call00001"),
        _call("now", {}, "call00002"),
    ],
}
WRITTEN_CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {**_call("now", {}, "call00001"), "function": {"name": "now", "arguments": '{"a": [1]}'}}
    ],
}
RESULT = {
    "role": "tool",
    "name": "get_weather",
    "tool_call_id": "call00001",
    "content": '{"degrees": 21, "sky": "blau"}',
}
SECOND = {"role": "tool", "name": "now", "tool_call_id": "call00002", "content": "12:00"}

THOUGHT = {
    "role": "assistant",
    "content": "Seven.",
    "reasoning_content": "The table has\nseven rows.",
}
WRITTEN_THOUGHT = {"role": "assistant", "content": "<think>\nCount.\n</think>\n\nSeven."}

DOCUMENTS = [
    {"title": "Towns", "text": "Zürich is a town.\nBern, too.", "doc_id": 1},
    {"title": "Lakes", "text": "A lake <is> water.", "doc_id": 2},
]

ON, OFF = ({"enable_thinking": on, "thinking": on} for on in (True, False))

CONVERSATIONS: dict[str, dict[str, Any]] = {
    "single": {"messages": [USER]},
    "system": {"messages": [SYSTEM, USER]},
    "turns": {"messages": [USER, ANSWER, MORE]},
    "system, turns": {"messages": [SYSTEM, USER, ANSWER, MORE]},
    "edges": {"messages": EDGES},
    "edges without system": {"messages": EDGES[1:]},
    "no prompt": {"messages": [SYSTEM, USER, ANSWER], "add_generation_prompt": False},
    "thinking on": {"messages": [SYSTEM, USER], **ON},
    "thinking off": {"messages": [SYSTEM, USER, ANSWER, MORE], **OFF},
    "thought": {"messages": [USER, THOUGHT, MORE], **ON},
    "thought at the end": {"messages": [USER, THOUGHT], "add_generation_prompt": False, **ON},
    "written thought": {"messages": [USER, WRITTEN_THOUGHT, MORE], **OFF},
    "tools": {"messages": [USER], "tools": TOOLS},
    "tools, system": {"messages": [SYSTEM, USER], "tools": TOOLS, **OFF},
    "call": {"messages": [USER, CALLING, RESULT], "tools": TOOLS},
    "call, answered": {
        "messages": [SYSTEM, USER, CALLING, RESULT, ANSWER, MORE],
        "tools": TOOLS,
        **ON,
    },
    "two calls": {"messages": [USER, TWICE, RESULT, SECOND], "tools": TOOLS},
    "thought, call": {
        "messages": [USER, {**CALLING, "reasoning_content": "Ask."}, RESULT],
        "tools": TOOLS,
        **ON,
    },
    "call, arguments as text": {"messages": [USER, WRITTEN_CALL, RESULT], "tools": TOOLS},
    "call at the end": {
        "messages": [USER, CALLING],
        "tools": TOOLS,
        "add_generation_prompt": False,
    },
    "documents": {"messages": [USER], "documents": DOCUMENTS},
    "documents, system": {"messages": [SYSTEM, USER, ANSWER, MORE], "documents": DOCUMENTS},
}


def texts_changed(value: Any, change: Any, key: str = "") -> Any:
    """``value`` with ``change`` applied to all texts and keys that a stranger chooses."""
    if isinstance(value, str):
        return value if key in ("role", "type") else change(value)
    if isinstance(value, dict):
        strangers = key in ("arguments", "properties")
        return {
            (change(name) if strangers else name): texts_changed(
                inner, change, "" if strangers else name
            )
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [texts_changed(inner, change, key) for inner in value]
    return value

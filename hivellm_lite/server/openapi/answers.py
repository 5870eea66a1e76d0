"""What the server answers: the objects of each endpoint."""

from __future__ import annotations

from .schemas import Schema, array, integer, number, objects, optional, ref, string

__all__ = ["ANSWERS"]


def _kind(name: str) -> Schema:
    return {"type": "string", "const": name}


_COUNT = integer(0)
_REASON = {"type": "string", "enum": ["stop", "length", "tool_calls"]}

_TOKEN = {"token": string(), "logprob": number(None, 0), "bytes": array(integer(0, 255))}
_TOLD_TOKEN = objects({**_TOKEN, "top_logprobs": array(objects(_TOKEN, *_TOKEN))}, *_TOKEN)

_CALL = objects(
    {
        "id": string(),
        "type": _kind("function"),
        "function": objects({"name": string(), "arguments": string()}, "name", "arguments"),
    },
    "id",
    "type",
    "function",
)

_MODEL = objects(
    {
        "id": string(),
        "object": _kind("model"),
        "created": _COUNT,
        "owned_by": string(),
        "root": optional(string("The expert's name and version, or the base's file.")),
        "parent": optional(string()),
        "description": string(),
        "capabilities": array(string()),
        "base": string(),
        "state": {"type": "string", "enum": ["resident", "registered", "evicted"]},
    },
    *("id", "object", "created", "owned_by", "root", "parent", "description", "capabilities"),
)


def _choices(kind: str, choice: Schema) -> Schema:
    """An object with choices."""
    fields = {
        "id": string(),
        "object": _kind(kind),
        "created": _COUNT,
        "model": string(),
        "choices": array(choice),
        "usage": ref("Usage"),
    }
    return objects(fields, *fields)


ANSWERS: dict[str, Schema] = {
    "Error": objects(
        {
            "error": objects(
                {
                    "message": string(),
                    "type": string(),
                    "param": optional(string("The field at fault.")),
                    "code": optional(string()),
                },
                *("message", "type", "param", "code"),
            )
        },
        "error",
    ),
    "Usage": objects(
        {"prompt_tokens": _COUNT, "completion_tokens": _COUNT, "total_tokens": _COUNT},
        *("prompt_tokens", "completion_tokens", "total_tokens"),
    ),
    "Chat": _choices(
        "chat.completion",
        objects(
            {
                "index": _COUNT,
                "message": objects(
                    {
                        "role": _kind("assistant"),
                        "content": optional(string()),
                        "refusal": {"type": "null"},
                        "reasoning_content": string(),
                        "tool_calls": array(_CALL),
                    },
                    *("role", "content"),
                ),
                "logprobs": optional(objects({"content": array(_TOLD_TOKEN)}, "content")),
                "finish_reason": _REASON,
            },
            *("index", "message", "logprobs", "finish_reason"),
        ),
    ),
    "Completion": _choices(
        "text_completion",
        objects(
            {
                "index": _COUNT,
                "text": string(),
                "logprobs": optional(objects({"tokens": array(string())}, "tokens")),
                "finish_reason": _REASON,
            },
            *("index", "text", "logprobs", "finish_reason"),
        ),
    ),
    "Response": objects(
        {
            "id": string(),
            "object": _kind("response"),
            "created_at": _COUNT,
            "status": {"type": "string", "enum": ["completed", "incomplete"]},
            "model": string(),
            "output": array(
                objects(
                    {
                        "type": {
                            "type": "string",
                            "enum": ["message", "function_call", "reasoning"],
                        },
                        "id": string(),
                        "status": {"type": "string", "enum": ["completed", "incomplete"]},
                    },
                    *("type", "id", "status"),
                )
            ),
            "usage": objects({"input_tokens": _COUNT, "output_tokens": _COUNT}, "input_tokens"),
        },
        *("id", "object", "created_at", "status", "model", "output", "usage"),
    ),
    "Score": objects(
        {
            "object": _kind("score"),
            "model": string(),
            "logprob": number(),
            "tokens": array(
                objects(
                    {
                        "id": _COUNT,
                        "token": string(),
                        "logprob": number(),
                        "top_id": _COUNT,
                        "top_logprob": number(),
                    },
                    *("id", "token", "logprob", "top_id", "top_logprob"),
                )
            ),
        },
        *("object", "model", "logprob", "tokens"),
    ),
    "Route": objects(
        {
            "object": _kind("route"),
            "model": string(),
            "reason": string(),
            "scores": array(
                objects(
                    {
                        "model": string(),
                        "score": number(),
                        "priority": number(),
                        "keywords": array(string()),
                        "exclude_keywords": array(string()),
                        "capabilities": array(string()),
                    },
                    *("model", "score"),
                )
            ),
        },
        *("object", "model", "reason", "scores"),
    ),
    "Model": _MODEL,
    "Models": objects({"object": _kind("list"), "data": array(ref("Model"))}, "object", "data"),
}
"""The schemas of all answers by the names of the document's components."""

"""The bodies that the server reads, field by field. Every field but a required one may be null."""

from __future__ import annotations

from ...requests.builder import MAX_BIAS, MAX_LOGPROBS
from ..asking import MAX_CHOICES, MAX_STOPS
from ..experts import MAX_SCALE
from ..tools.definitions import MAX_TOOLS
from .schemas import Schema, array, boolean, integer, number, objects, optional, ref, string

__all__ = ["REQUESTS"]

_INT32 = (1 << 31) - 1

_MODEL = string("An expert, `auto`, `base`, or a blend such as `sql:0.7+style:0.3`.")

_SAMPLING = {
    "temperature": number(0, 100, "0 takes the most probable token."),
    "top_p": number(0, 1),
    "min_p": number(0, 1),
    "top_k": integer(0, _INT32, "0 is off."),
    "repetition_penalty": number(0, 100, "1 is off."),
    "frequency_penalty": number(-2, 2),
    "presence_penalty": number(-2, 2),
    "logit_bias": {
        **objects({}, about="Token ids and what is added to their logits."),
        "additionalProperties": optional(number(-MAX_BIAS, MAX_BIAS)),
        "propertyNames": {"pattern": "^[0-9]{1,9}$"},
    },
    "seed": integer(-(1 << 63), (1 << 64) - 1),
    "stop": {"anyOf": [string(), array(string(), maxItems=MAX_STOPS)]},
    "max_tokens": integer(1, _INT32),
    "max_completion_tokens": integer(1, _INT32),
    "max_output_tokens": integer(1, _INT32),
    "stream": boolean("Answer with server-sent events."),
}
_OWN = {
    "schema": string("Tables, fields or labels that the answer shall use."),
    "grammar": string("`auto`, `strict`, `off`, a grammar of the library, or GBNF text."),
    "adapter_scale": number(-MAX_SCALE, MAX_SCALE, "Multiplies the adapter's effect."),
    "thinking": boolean("Let a thinking model think first."),
    "template": string("`chatml`, `hivellm-tags` or `raw`."),
    "allow_unenforced": boolean("Accept a JSON schema that a grammar cannot enforce as a whole."),
}
_TOLD = {
    "documents": array(objects({}, about="`title` and `text`.")),
    "chat_template_kwargs": objects({}, about="More variables of a chat template."),
}
_CHOICES = {
    "n": integer(1, MAX_CHOICES),
    "stream_options": objects({"include_usage": optional(boolean())}),
    "response_format": ref("ResponseFormat"),
}
_NAMED = objects({"name": string()}, "name")


def _tools(tool: Schema, *, nested: bool) -> dict[str, Schema]:
    """The tools and the choice among them; see `read_tools` for ``nested``."""
    function = {"type": {"type": "string", "const": "function"}}
    named = objects({**function, "function": _NAMED}, "type", "function")
    if not nested:
        named = objects({**function, "name": string()}, "type", "name")
    allowed = {"mode": {"type": "string", "enum": ["auto", "required"]}, "tools": array(named)}
    kind = {"type": {"type": "string", "const": "allowed_tools"}}
    choice = objects({**kind, "allowed_tools": objects(allowed, *allowed)}, "type", "allowed_tools")
    if not nested:
        choice = objects({**kind, **allowed}, "type", *allowed)
    mode = {"type": "string", "enum": ["none", "auto", "required"]}
    return {
        "tools": array(tool, maxItems=MAX_TOOLS),
        "tool_choice": {"anyOf": [mode, named, choice]},
        "parallel_tool_calls": boolean(),
    }


_JSON_SCHEMA = {"type": ["object", "boolean"]}


def _parts(*kinds: str) -> Schema:
    """A string, or parts of these kinds."""
    kind = {"type": "string", "enum": list(kinds)}
    part = objects({"type": kind, "text": string()}, "type", "text")
    return {"anyOf": [string(), array(part)]}


def _fields(required: dict[str, Schema], *groups: dict[str, Schema]) -> Schema:
    """A body. Unknown fields are ignored."""
    others = {name: optional(one) for group in groups for name, one in group.items()}
    return objects({**required, **others}, *required)


_FUNCTION = {
    "name": string(pattern="^[A-Za-z0-9_.:/-]{1,128}$"),
    "description": optional(string()),
    "parameters": optional(objects({}, about="A JSON schema of objects.")),
    "strict": optional(boolean()),
}
_KIND = {"type": "string", "const": "function"}
_CALL = objects({"name": string(), "arguments": optional(string())}, "name")

_MESSAGE = objects(
    {
        "role": {"type": "string", "enum": ["system", "developer", "user", "assistant", "tool"]},
        "content": optional(_parts("text")),
        "tool_calls": optional(
            array(objects({"id": optional(string()), "function": _CALL}, "function"))
        ),
        "reasoning_content": optional(string("What an assistant has thought.")),
        "tool_call_id": optional(string()),
        "name": optional(string("The tool that a result is of.")),
    },
    "role",
)
_MESSAGES = array(ref("Message"), minItems=1)

REQUESTS: dict[str, Schema] = {
    "Message": _MESSAGE,
    "ResponseFormat": objects(
        {
            "type": {"type": "string", "enum": ["text", "json_object", "json_schema"]},
            "json_schema": optional(objects({"schema": optional(_JSON_SCHEMA)})),
        },
        "type",
    ),
    "ChatRequest": _fields(
        {"model": _MODEL, "messages": _MESSAGES},
        _SAMPLING,
        _OWN,
        _TOLD,
        _CHOICES,
        {
            "logprobs": boolean(),
            "top_logprobs": integer(0, MAX_LOGPROBS),
            **_tools(
                objects(
                    {"type": _KIND, "function": objects(_FUNCTION, "name")}, "type", "function"
                ),
                nested=True,
            ),
        },
    ),
    "CompletionRequest": _fields(
        {"model": _MODEL, "prompt": {"anyOf": [string(), array(string(), minItems=1)]}},
        _SAMPLING,
        _OWN,
        _CHOICES,
        {"logprobs": integer(0, MAX_LOGPROBS), "best_of": integer(1, MAX_CHOICES)},
    ),
    "ResponseRequest": _fields(
        {"model": _MODEL, "input": {"anyOf": [string(), array(ref("Item"), minItems=1)]}},
        _SAMPLING,
        _OWN,
        _TOLD,
        {
            "instructions": string(),
            "include": array(string()),
            "top_logprobs": integer(0, MAX_LOGPROBS),
            "text": objects({"format": optional(ref("TextFormat"))}),
            "metadata": objects({}),
            **_tools(objects({"type": _KIND, **_FUNCTION}, "type", "name"), nested=False),
        },
    ),
    "TextFormat": objects(
        {
            "type": {"type": "string", "enum": ["text", "json_object", "json_schema"]},
            "schema": optional(_JSON_SCHEMA),
        },
        "type",
    ),
    "Item": {
        "anyOf": [
            objects(
                {
                    "type": optional({"type": "string", "const": "message"}),
                    "role": {
                        "type": "string",
                        "enum": ["system", "developer", "user", "assistant"],
                    },
                    "content": _parts("input_text", "output_text", "text"),
                },
                "role",
                "content",
            ),
            objects(
                {
                    "type": {"type": "string", "const": "function_call"},
                    "name": string(),
                    "arguments": optional(string()),
                    "call_id": optional(string()),
                },
                "type",
                "name",
            ),
            objects(
                {
                    "type": {"type": "string", "const": "function_call_output"},
                    "call_id": optional(string()),
                    "output": _parts("input_text", "output_text", "text"),
                },
                "type",
                "output",
            ),
            objects({"type": {"type": "string", "const": "reasoning"}}, "type"),
        ]
    },
    "ScoreRequest": _fields(
        {"model": _MODEL, "completion": string()},
        {"prompt": string(), "messages": _MESSAGES},
        {name: _OWN[name] for name in ("schema", "template", "adapter_scale")},
    ),
    "RouteRequest": _fields({}, {"prompt": string(), "messages": _MESSAGES}),
    "LoadRequest": objects(
        {"lora_name": string(), "lora_path": string()}, "lora_name", "lora_path"
    ),
    "UnloadRequest": objects({"lora_name": string()}, "lora_name"),
}
"""The schemas of all bodies, and of their parts, by the names of the document's components."""

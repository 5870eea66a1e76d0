"""From a question to the text that an expert was trained on.

A prompt is rendered into segments: the template's own control tokens, and
text. Only the former may become control tokens, so a ``<|im_end|>`` inside a
question is eight ordinary characters and cannot end the turn.

Here are the formats that a manifest or a caller can name: ChatML with ``<|im_start|>``,
and ``hivellm-tags``, the literal tags of the public command-line tool, which older
packages were trained on. Others come as chat templates: see `formats`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..manifest.parsing import Manifest

__all__ = ["TEMPLATES", "Segment", "Template", "merged", "render", "system_message"]

ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt; ``control`` if it is the name of a control token."""

    text: str
    control: bool = False


@dataclass(frozen=True)
class Template:
    """How a conversation is written down.

    ``begin`` and ``end`` stand around a turn, with ``{role}`` filled in.
    ``tags_are_tokens``: whether their tags are control tokens or plain text.
    """

    name: str
    begin: tuple[str, ...]
    end: tuple[str, ...]
    stop: str
    tags_are_tokens: bool


TEMPLATES = {
    "chatml": Template(
        "chatml", ("<|im_start|>", "{role}\n"), ("<|im_end|>", "\n"), "<|im_end|>", True
    ),
    "hivellm-tags": Template(
        "hivellm-tags", ("<|{role}|>", "\n"), ("\n<|end|>", "\n"), "<|end|>", False
    ),
}
TEMPLATES["qwen3"] = TEMPLATES["chatml"]

NO_THOUGHT = ("<think>", "\n\n", "</think>", "\n\n")
"""What Qwen3's own template puts before an answer with ``enable_thinking=False``."""

_DIALECTS = (
    (("cypher", "neo4j"), "cypher"),
    (("sql", "postgres", "mysql"), "sql"),
    (("json",), "json"),
    (("elastic",), "elastic"),
    (("python",), "python"),
    (("rust",), "rust"),
    (("typescript", "javascript"), "typescript"),
)


def dialect_of(manifest: Manifest) -> str | None:
    """The dialect that a package's capabilities name, or None.

    SQL is ``postgres`` where a capability or the grammar's type says so.
    """
    capabilities = " ".join(manifest.capabilities).lower()
    for needles, dialect in _DIALECTS:
        if any(needle in capabilities for needle in needles):
            if dialect == "sql":
                said = f"{capabilities} {manifest.decoding.grammar_type or ''}".lower()
                return "postgres" if "postgres" in said else "sql"
            return dialect
    return None


def system_message(manifest: Manifest, schema: str | None) -> str | None:
    """The system message that experts of this kind were trained with, or None."""
    dialect = dialect_of(manifest)
    if dialect == "json":
        lines = ["Task: json_generation"]
        if schema is not None:
            lines.append(f"Format: {_json_format(schema)}")
    elif dialect == "elastic":
        lines = ["Dialect: elastic", "Task: query_dsl"]
    else:
        lines = [f"Dialect: {dialect}"] if dialect else []
    if schema is not None:
        lines.append(f"Schema:\n{schema.strip()}")
    return "\n".join(lines) or None


def _json_format(schema: str) -> str:
    try:
        document = json.loads(schema)
    except (ValueError, RecursionError):
        return "json_schema"
    is_openapi = isinstance(document, dict) and bool({"openapi", "swagger"} & document.keys())
    return "openapi" if is_openapi else "json_schema"


def check_messages(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """``messages`` as (role, content) pairs. Raises ValueError for anything else."""
    turns = []
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise ValueError(f"messages[{index}]: must be a dict with 'role' and 'content'")
        role, content = message["role"], message["content"]
        if role not in ROLES:
            raise ValueError(f"messages[{index}]: role {role!r} is not one of {', '.join(ROLES)}")
        if not isinstance(content, str):
            raise ValueError(f"messages[{index}]: content must be text")
        turns.append((role, content))
    if not turns:
        raise ValueError("messages is empty")
    return turns


def render(
    template: Template, turns: Sequence[tuple[str, str]], *, answer_prefix: Sequence[str] = ()
) -> list[Segment]:
    """The conversation and the beginning of the assistant's turn.

    ``answer_prefix`` (see `NO_THOUGHT`) is put behind it, every part that
    looks like a tag as a control token. Neighbouring plain text is one segment.
    """
    parts: list[Segment] = []
    for role, content in turns:
        parts += _tags(template, template.begin, role)
        parts.append(Segment(content))
        parts += _tags(template, template.end, role)
    parts += _tags(template, template.begin, "assistant")
    parts += [Segment(part, control=part.startswith("<")) for part in answer_prefix]
    return merged(parts)


def merged(parts: Iterable[Segment]) -> list[Segment]:
    """Neighbouring plain text as one segment: a tokenizer's pieces may begin in one and end
    in the next.
    """
    found: list[Segment] = []
    for part in parts:
        if found and not part.control and not found[-1].control:
            found[-1] = Segment(found[-1].text + part.text)
        elif part.text:
            found.append(part)
    return found


def _tags(template: Template, texts: Sequence[str], role: str) -> list[Segment]:
    return [
        Segment(text.format(role=role), template.tags_are_tokens and text.startswith("<|"))
        for text in texts
    ]

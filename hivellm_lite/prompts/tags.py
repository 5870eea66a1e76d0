"""The formats of prompts that have a name, and the system message of an expert.

A prompt is rendered into segments: the template's control tokens, and text. Only the
template's segments may become control tokens, so ``<|im_end|>`` inside a question is
ordinary text and cannot end the turn.

A manifest or a caller can name two formats: ChatML with ``<|im_start|>``, and
``hivellm-tags``, the literal tags of the public command-line tool, which older packages
were trained on. All other formats are chat templates: see `formats`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..manifest.records import Manifest

__all__ = ["RAW", "TEMPLATES", "Segment", "Template", "merged", "render", "system_message"]


@dataclass(frozen=True)
class Segment:
    """A piece of a prompt. ``control``: whether it is the name of a control token."""

    text: str
    control: bool = False


@dataclass(frozen=True)
class Template:
    """How a conversation is written.

    ``begin`` and ``end`` surround a turn, with ``{role}`` filled in. ``stop`` ends an answer.
    ``tags_are_tokens``: whether the tags are control tokens (or else plain text).
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

RAW = "raw"
"""The name of the form that adds nothing to a prompt; no manifest can name it."""

THOUGHT = "<think>"
"""The tag that begins a thought."""

NO_THOUGHT = "<think>\n\n</think>\n\n"
"""What Qwen3's template writes before an answer with ``enable_thinking=False``."""

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

    The dialect of SQL is ``postgres`` if a capability or the grammar's type says so.
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


def render(
    template: Template, turns: Sequence[tuple[str, str]], *, answer_prefix: Sequence[Segment] = ()
) -> list[Segment]:
    """The conversation and the beginning of the assistant's turn.

    ``answer_prefix`` (see `NO_THOUGHT`) follows. Neighbouring plain text is one segment.
    """
    parts: list[Segment] = []
    for role, content in turns:
        parts += _tags(template, template.begin, role)
        parts.append(Segment(content))
        parts += _tags(template, template.end, role)
    parts += _tags(template, template.begin, "assistant")
    return merged([*parts, *answer_prefix])


def merged(parts: Iterable[Segment]) -> list[Segment]:
    """The segments, with neighbouring plain texts joined.

    A token may begin in one text and end in the next.
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

"""Refuses the envelopes in which APIs send schemas, such as ``{"name": …, "schema": {…}}``.

To JSON Schema an envelope is a schema with only unknown keywords, which every value satisfies. A
caller who passes an envelope means the schema inside of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from ...errors import GrammarError
from ...strict_json.parsing import shown
from .keywords import CONSTRAINTS, DATA, TYPES
from .pointers import escaped

__all__ = ["refuse_wrapper"]

_MAX_LOOKED_AT = 5_000
_MAX_STEPS = 5
_TELLING = frozenset(
    {"$ref", "allOf", "anyOf", "const", "enum", "items", "oneOf", "properties", "required"}
)
"""Keywords that make an object look like a schema."""

_DEFINITIONS = ("$defs", "definitions")


def refuse_wrapper(schema: Mapping[str, Any] | bool) -> None:
    """Raise `GrammarError` for a schema that constrains nothing but holds a schema that does."""
    if isinstance(schema, bool):
        return
    kind = schema.get("type")
    known = CONSTRAINTS if kind is None or _is_type(kind) else CONSTRAINTS - {"type"}
    if schema.keys() & known:
        return
    steps = _inner_schema(schema)
    if steps is None:
        return
    if steps[0] in _DEFINITIONS:
        pointer = "/".join(["#", *map(escaped, steps)])
        raise GrammarError(
            f"JSON schema: it defines {shown(steps[1])} under {steps[0]!r} but never refers to "
            f"that, so any JSON would satisfy it\n"
            f'Add "$ref": {shown(pointer)} next to {steps[0]!r}.'
        )
    place = "".join(f"[{step}]" if step.isdecimal() else f"[{shown(step)}]" for step in steps)
    keys = ", ".join(map(shown, list(schema)[:6]))
    raise GrammarError(
        f"JSON schema: none of its keys ({keys}) is a keyword that constrains a value, so any "
        f"JSON would satisfy it\nPass the schema inside instead: schema{place}."
    )


def _is_type(value: object) -> bool:
    return value in TYPES if isinstance(value, str) else isinstance(value, list)


def _inner_schema(schema: Mapping[str, Any]) -> list[str] | None:
    """The steps to the nearest inner object that looks like a schema; None if there is none."""
    waiting: deque[tuple[list[str], object]] = deque([([], schema)])
    for _ in range(_MAX_LOOKED_AT):
        if not waiting:
            break
        steps, value = waiting.popleft()
        if isinstance(value, list):
            if len(steps) < _MAX_STEPS:
                waiting.extend(([*steps, str(n)], item) for n, item in enumerate(value[:20]))
            continue
        if not isinstance(value, Mapping):
            continue
        if steps and (value.keys() & _TELLING or ("type" in value and _is_type(value["type"]))):
            return steps
        if len(steps) < _MAX_STEPS:
            waiting.extend(
                ([*steps, key], member)
                for key, member in value.items()
                if key not in DATA and not key.startswith("x-")
            )
    return None

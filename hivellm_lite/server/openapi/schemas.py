"""Short ways to write the JSON schemas of an OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "Schema",
    "array",
    "boolean",
    "integer",
    "number",
    "objects",
    "optional",
    "ref",
    "string",
]

Schema = dict[str, Any]


def string(about: str = "", **more: object) -> Schema:
    """A string."""
    return _schema("string", about, more)


def integer(low: int | None = None, high: int | None = None, about: str = "") -> Schema:
    """An integer from ``low`` to ``high``."""
    return _schema("integer", about, {"minimum": low, "maximum": high})


def number(low: float | None = None, high: float | None = None, about: str = "") -> Schema:
    """A number from ``low`` to ``high``."""
    return _schema("number", about, {"minimum": low, "maximum": high})


def boolean(about: str = "") -> Schema:
    """True or false."""
    return _schema("boolean", about, {})


def array(items: Schema, **more: object) -> Schema:
    """An array of one kind of items."""
    return _schema("array", "", {"items": items, **more})


def objects(properties: Mapping[str, Schema], *required: str, about: str = "") -> Schema:
    """An object that may have more properties than these."""
    return _schema("object", about, {"properties": dict(properties), "required": list(required)})


def optional(schema: Schema) -> Schema:
    """The schema, or null."""
    if isinstance(schema.get("type"), str) and "enum" not in schema and "const" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> Schema:
    """A schema of the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def _schema(kind: str, about: str, more: Mapping[str, object]) -> Schema:
    found = {name: value for name, value in more.items() if value is not None and value != []}
    return {"type": kind, **({"description": about} if about else {}), **found}

"""``discriminator``, as in OpenAPI: the property that says which alternative a value is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..shapes import Object
from .document import SchemaDocument

__all__ = ["tagged_objects"]


def tagged_objects(
    document: SchemaDocument, pointers: list[str], schema: Mapping[str, Any]
) -> list[Object] | None:
    """For each alternative, the objects that carry its tag; None without a discriminator.

    JSON Schema lets a valid value omit a tag with a default, but then no reader could choose. So
    the tag is required here.
    """
    discriminator = schema.get("discriminator")
    if not isinstance(discriminator, Mapping):
        return None
    tag, mapping = discriminator.get("propertyName"), discriminator.get("mapping")
    if not isinstance(tag, str):
        return None
    objects = []
    for pointer in pointers:
        values = _tags_of(document, pointer, mapping if isinstance(mapping, Mapping) else {})
        handle = (document.virtual({"enum": values}),) if values else ()
        properties = {tag: handle} if values else {}
        objects.append(Object(properties, frozenset({tag}), pointer=pointer))
    return objects


def _tags_of(document: SchemaDocument, pointer: str, mapping: Mapping[str, Any]) -> list[str]:
    """The tags that ``mapping`` gives to the schema at a pointer."""
    schema = document.at(pointer)
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    if not isinstance(reference, str):
        return []
    name = reference.rpartition("/")[2]
    return [tag for tag, target in mapping.items() if target in (reference, name)]

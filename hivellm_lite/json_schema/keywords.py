"""Which keywords of JSON Schema say nothing about a value, and which belong to one type.

Source: JSON Schema 2020-12, Core and Validation, with the older spellings of
drafts 4 to 7 and of OpenAPI 3.0. A keyword that no list names is an annotation,
as the specification says of unknown ones.
"""

from __future__ import annotations

__all__ = ["ANNOTATIONS", "TYPES"]

ANNOTATIONS = frozenset(
    {
        "$anchor",
        "$comment",
        "$defs",
        "$dynamicAnchor",
        "$id",
        "$schema",
        "$vocabulary",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "default",
        "definitions",
        "deprecated",
        "description",
        "discriminator",
        "example",
        "examples",
        "externalDocs",
        "id",
        "readOnly",
        "title",
        "writeOnly",
        "xml",
    }
)
"""Keywords that no value ever fails."""

TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")

"""Which keywords of JSON Schema say nothing about a value, and which belong to one type.

Source: JSON Schema 2020-12, Core and Validation, with the older spellings of
drafts 4 to 7 and of OpenAPI 3.0. A keyword that no list names is an annotation,
as the specification says of unknown ones.
"""

from __future__ import annotations

__all__ = ["ANNOTATIONS", "APPLICATORS", "CONSTRAINTS", "DATA", "IN_PLACE", "TYPES"]

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

DATA = frozenset({"const", "default", "enum", "example", "examples"})
"""Keywords whose value is data, whatever it looks like."""

IN_PLACE = frozenset({"allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then"})
"""Keywords whose schemas describe the same value as the schema around them."""

APPLICATORS = IN_PLACE | {
    "$dynamicRef",
    "$recursiveRef",
    "$ref",
    "additionalItems",
    "additionalProperties",
    "contains",
    "dependencies",
    "items",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
}
"""Keywords that hold or name schemas."""

CONSTRAINTS = (APPLICATORS - {"else", "then"}) | {
    "const",
    "dependentRequired",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "type",
    "uniqueItems",
}
"""Keywords that some value fails."""

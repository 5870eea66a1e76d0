"""Sorts the keywords of JSON Schema: annotations, applicators, constraints.

Source: JSON Schema 2020-12, Core and Validation, with the older spellings of
drafts 4 to 7 and of OpenAPI 3.0. A keyword that no list names is an annotation,
as the specification asks for unknown keywords.
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
"""Keywords whose value is data, even if it looks like a schema."""

IN_PLACE = frozenset({"allOf", "anyOf", "dependentSchemas", "else", "if", "not", "oneOf", "then"})
"""Keywords whose schemas describe the same value as the schema that holds them."""

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
"""Keywords that hold schemas or refer to them."""

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
"""Keywords that can fail: some value does not satisfy them."""

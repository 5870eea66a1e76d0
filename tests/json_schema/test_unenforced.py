"""Keywords that a grammar cannot enforce are named, or left out on request."""

from __future__ import annotations

import json
from random import Random

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.json_schema import schema_to_grammar, unenforced_keywords

from ..gbnf.sentences import generate

STRING = {"type": "string"}

UNENFORCED = [
    ({"type": "array", "uniqueItems": True}, "uniqueItems", "#"),
    (
        {"type": "array", "contains": {"type": "null"}, "minContains": 900, "maxItems": 900},
        "contains",
        "#",
    ),
    ({"type": "array", "unevaluatedItems": False}, "unevaluatedItems", "#"),
    (
        {
            "type": "object",
            "additionalProperties": True,
            "not": {"type": "object", "additionalProperties": STRING},
        },
        "not",
        "#",
    ),
    (
        {
            "type": "object",
            "additionalProperties": True,
            "if": {"type": "object", "patternProperties": {"^a": STRING}},
            "then": {"required": ["b"]},
        },
        "if",
        "#",
    ),
    ({"$recursiveRef": "#"}, "$recursiveRef", "#"),
    ({"unevaluatedProperties": STRING}, "unevaluatedProperties", "#"),
    ({"enum": [{"a": 1}], "unevaluatedProperties": False}, "unevaluatedProperties", "#"),
    ({"type": "integer", "multipleOf": 982_451_653}, "multipleOf", "#"),
    ({"type": "integer", "minimum": 10**60}, "minimum, maximum or multipleOf", "#"),
    ({**STRING, "format": "html-selector"}, "format", "#"),
    ({**STRING, "not": {**STRING, "format": "nanoid"}}, "not", "#"),
    ({**STRING, "pattern": r"(a)\1"}, "pattern", "#"),
    ({**STRING, "pattern": "^a(b|c)*d(e|f)*$", "maxLength": 10**6}, "maxLength", "#"),
    ({**STRING, "pattern": "^a(b|c)*d(e|f)*$", "minLength": 10**6}, "minLength", "#"),
    (
        {"allOf": [{**STRING, "pattern": f"[a-z].{{{n}}}x"} for n in (40, 60)]},
        "pattern",
        "#/allOf/0",
    ),
    ({**STRING, "maxLength": 10**7}, "maxLength", "#"),
    ({**STRING, "minLength": 10**7}, "minLength", "#"),
    ({"type": "object", "patternProperties": {r"(a)\1x": {}}}, "patternProperties", "#"),
    ({"type": "object", "minProperties": 2}, "minProperties", "#"),
    (
        {
            "oneOf": [
                {"type": "object", "additionalProperties": STRING},
                {"type": "object", "additionalProperties": {"type": "integer"}},
            ]
        },
        "oneOf",
        "#",
    ),
    (
        {"type": "object", "properties": {"a/b": {"items": {"unevaluatedItems": False}}}},
        "unevaluatedItems",
        "#/properties/a~1b/items",
    ),
]


@pytest.mark.parametrize(("schema", "keyword", "pointer"), UNENFORCED)
def test_keyword_is_named_with_its_pointer(schema, keyword, pointer):
    with pytest.raises(GrammarError) as caught:
        schema_to_grammar(schema)
    first, *_, last = str(caught.value).splitlines()
    assert first.startswith(f"JSON schema: {keyword!r} at {pointer}: ")
    assert "allow_unenforced=True" in last


@pytest.mark.parametrize(("schema", "keyword", "pointer"), UNENFORCED)
def test_keyword_is_left_out_on_request(schema, keyword, pointer):
    grammar = schema_to_grammar(schema, allow_unenforced=True)
    json.loads(generate(grammar, Random(1)))
    assert [(found.keyword, found.pointer) for found in unenforced_keywords(schema)] == [
        (keyword, pointer)
    ]


def test_all_keywords_are_listed_at_once():
    names = [f"p{index}" for index in range(30)]
    schema = {"properties": {name: {"type": "array", "uniqueItems": True} for name in names}}
    with pytest.raises(GrammarError) as caught:
        schema_to_grammar(schema)
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("also 'uniqueItems' at #/properties/p1: ")
    assert lines[-2] == "and 10 more"
    assert len(unenforced_keywords(schema)) == 30


def test_enforced_schema_has_no_unenforced_keywords():
    assert unenforced_keywords({"type": "integer", "minimum": 1}) == ()


def test_format_of_a_number_is_an_annotation():
    assert unenforced_keywords({"type": "integer", "format": "int64"}) == ()
    assert unenforced_keywords({"type": "string", "format": "password"}) == ()


def test_discriminator_behind_a_recursive_property_is_found():
    node = {
        "oneOf": [
            {
                "type": "object",
                "properties": {"left": {"$ref": "#"}, "op": {"const": op}},
                "required": ["left", "op"],
            }
            for op in ("plus", "minus")
        ]
        + [{"type": "integer"}]
    }
    assert unenforced_keywords(node) == ()

"""Keywords that a grammar cannot hold an answer to are named, or left out on request."""

from __future__ import annotations

import json
from random import Random

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.gbnf.sentences import generate
from hivellm_lite.json_schema import schema_to_grammar, unenforced_keywords

STRING = {"type": "string"}

UNENFORCED = [
    ({"type": "array", "uniqueItems": True}, "uniqueItems", "#"),
    ({"type": "array", "contains": {"type": "null"}}, "contains", "#"),
    ({"contains": {}, "minContains": 0, "maxContains": 1}, "maxContains", "#"),
    ({"type": "array", "unevaluatedItems": False}, "unevaluatedItems", "#"),
    ({"not": {"type": "null"}}, "not", "#"),
    ({"if": {"type": "null"}, "then": False}, "if", "#"),
    ({"$recursiveRef": "#"}, "$recursiveRef", "#"),
    ({"unevaluatedProperties": STRING}, "unevaluatedProperties", "#"),
    ({"enum": [{"a": 1}], "unevaluatedProperties": False}, "unevaluatedProperties", "#"),
    ({"type": "integer", "multipleOf": 7}, "multipleOf", "#"),
    ({"type": "integer", "minimum": 10**60}, "minimum, maximum or multipleOf", "#"),
    ({**STRING, "format": "iri"}, "format", "#"),
    ({**STRING, "pattern": "(?=a)"}, "pattern", "#"),
    ({**STRING, "pattern": "a", "maxLength": 3}, "maxLength", "#"),
    ({**STRING, "pattern": "a", "minLength": 3}, "minLength", "#"),
    ({**STRING, "pattern": "^a", "format": "uuid"}, "pattern", "#"),
    ({"allOf": [{**STRING, "pattern": "^a"}, {"pattern": "b$"}]}, "pattern", "#/allOf/0"),
    ({**STRING, "maxLength": 10**7}, "maxLength", "#"),
    ({**STRING, "minLength": 10**7}, "minLength", "#"),
    ({"type": "object", "patternProperties": {r"\bx": {}}}, "patternProperties", "#"),
    (
        {"type": "object", "patternProperties": {"^x": {}}, "propertyNames": {"maxLength": 3}},
        "propertyNames",
        "#",
    ),
    (
        {
            "type": "object",
            "properties": {"a": {}},
            "additionalProperties": True,
            "propertyNames": {"maxLength": 3},
        },
        "propertyNames",
        "#",
    ),
    ({"type": "object", "minProperties": 2}, "minProperties", "#"),
    ({"oneOf": [STRING, {"maxLength": 3}]}, "oneOf", "#"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf", "#"),
    ({"oneOf": [{"type": "array"}, {"type": "array", "minItems": 1}]}, "oneOf", "#"),
    ({"oneOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}, "oneOf", "#"),
    (
        {
            "oneOf": [
                {"type": "object", "properties": {"a": {}}, "required": ["a"]},
                {"type": "object", "properties": {"a": {}, "b": {}}},
            ]
        },
        "oneOf",
        "#",
    ),
    (
        {"type": "object", "properties": {"a/b": {"items": {"not": {"const": 1}}}}},
        "not",
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
    schema = {"properties": {name: {"not": {"const": 1}} for name in names}}
    with pytest.raises(GrammarError) as caught:
        schema_to_grammar(schema)
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("also 'not' at #/properties/p1: ")
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

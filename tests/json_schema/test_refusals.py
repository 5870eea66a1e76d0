"""Schemas that are refused: malformed, contradictory, hostile; always a GrammarError."""

from __future__ import annotations

import json
import re

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.json_schema import rules, schema_to_grammar
from hivellm_lite.json_schema.reading.json_values import MAX_SCHEMA_DEPTH, MAX_VALUES

MALFORMED = [
    ({"type": "text"}, "'type' at # is \"text\""),
    ({"type": []}, "'type' at # is []"),
    ({"type": 1}, "'type' at # is 1"),
    ({"type": [{"a": 1}]}, "'type' at #"),
    ({"properties": []}, "'properties' at # is []"),
    ({"properties": {"a": 1}}, "'a' at # is 1, expected a schema"),
    ({"items": 3}, "'items' at # is 3, expected a schema"),
    ({"prefixItems": {}}, "'prefixItems' at # is {}"),
    ({"required": "a"}, "'required' at # is \"a\""),
    ({"required": True}, "'required' at # is true"),
    ({"required": [1]}, "'required' at # is [1]"),
    ({"enum": "a"}, "'enum' at # is \"a\""),
    ({"anyOf": []}, "'anyOf' at # is []"),
    ({"oneOf": {}}, "'oneOf' at # is {}"),
    ({"allOf": [1]}, "'0' at # is 1, expected a schema"),
    ({"minLength": -1}, "'minLength' at # is -1"),
    ({"maxItems": True}, "'maxItems' at # is true"),
    ({"minItems": 1.5}, "'minItems' at # is 1.5"),
    ({"minimum": "1"}, "'minimum' at # is \"1\""),
    ({"multipleOf": 0}, "'multipleOf' at # is 0"),
    ({"pattern": 1}, "'pattern' at # is 1"),
    ({"pattern": "(a"}, "a group that is not closed at character 2"),
    ({"patternProperties": {"[": {}}}, "'patternProperties' at # is \"[\""),
    ({"format": 1}, "'format' at # is 1"),
    ({"$ref": 1}, "'$ref' at # is 1"),
    ({"dependentRequired": []}, "'dependentRequired' at # is []"),
    ({"dependentRequired": {"a": "b"}}, "'dependentRequired' at # is \"b\""),
    ({"dependentRequired": {"a": [1]}}, "'dependentRequired' at # is [1]"),
    ({"properties": {"a/b": {"items": {"type": "x"}}}}, "'type' at #/properties/a~1b/items"),
]

REFERENCES = [
    ({"$ref": "#/$defs/a"}, "'$ref' at # leads to \"#/$defs/a\", where there is nothing"),
    ({"$ref": "#name"}, "where there is nothing"),
    ({"allOf": [{}], "$ref": "#/allOf/1"}, "where there is nothing"),
    ({"$ref": "https://example.org/schema"}, "outside of the schema"),
    ({"items": {"$ref": "other.json#/a"}}, "'$ref' at #/items leads to"),
    ({"$ref": "#"}, "leads back to itself"),
    (
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        "back",
    ),
    ({"anyOf": [{"type": "null"}, {"$ref": "#"}]}, "the schema at # is part of itself"),
    (
        {"items": {"$id": "https://a.b/c", "items": {"$ref": "#/x"}}},
        "'$ref' at #/items/items leads to \"#/x\", where there is nothing",
    ),
]

CONTRADICTIONS = [
    False,
    {"type": "integer", "minimum": 2, "maximum": 1},
    {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "integer", "exclusiveMinimum": -2, "exclusiveMaximum": -1},
    {"type": "number", "exclusiveMinimum": 1, "maximum": 1},
    {"type": "string", "minLength": 2, "maxLength": 1},
    {"type": "string", "pattern": "^a$", "minLength": 2},
    {"type": "string", "enum": [1, 2]},
    {"enum": []},
    {"const": 1, "enum": [2]},
    {"allOf": [{"type": "string"}, {"type": "null"}]},
    {"type": "array", "items": False, "minItems": 1},
    {"type": "array", "minItems": 2, "maxItems": 1},
    {"type": "array", "prefixItems": [False], "minItems": 1},
    {"type": "object", "properties": {"a": False}, "required": ["a"]},
    {"type": "object", "required": ["a"], "additionalProperties": False},
    {"type": "object", "required": ["a", "b"], "maxProperties": 1},
    {"type": "object", "properties": {"a": {}}, "additionalProperties": False, "minProperties": 2},
    {"type": "object", "required": ["ab"], "propertyNames": {"maxLength": 1}},
    {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
    {"not": {}},
    {"anyOf": [False, {"not": True}]},
]


@pytest.mark.parametrize(("schema", "message"), MALFORMED + REFERENCES)
def test_malformed_schemas_are_refused_with_their_pointer(schema, message):
    with pytest.raises(GrammarError) as caught:
        schema_to_grammar(schema, allow_unenforced=True)
    assert message in str(caught.value)
    assert str(caught.value).startswith("JSON schema: ")
    assert len(str(caught.value).splitlines()) > 1


@pytest.mark.parametrize("schema", CONTRADICTIONS, ids=json.dumps)
def test_schema_that_no_value_satisfies_is_refused(schema):
    with pytest.raises(GrammarError, match="no value that satisfies it can be written"):
        schema_to_grammar(schema)


def nested(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "null"}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


def test_depth_is_limited():
    schema_to_grammar(nested(MAX_SCHEMA_DEPTH - 1))
    with pytest.raises(GrammarError, match="levels deep"):
        schema_to_grammar(nested(MAX_SCHEMA_DEPTH + 1))
    with pytest.raises(GrammarError, match="levels deep"):
        schema_to_grammar(nested(50_000))


def test_schema_that_contains_itself_is_refused():
    schema: dict[str, object] = {}
    schema["items"] = schema
    with pytest.raises(GrammarError, match="levels deep"):
        schema_to_grammar(schema)


def test_deep_text_is_refused():
    text = '{"items":' * 20_000 + "{}" + "}" * 20_000
    with pytest.raises(GrammarError, match="levels deep"):
        schema_to_grammar(text)


def test_deep_values_are_compared_within_the_stack():
    value: object = 1
    for index in range(MAX_SCHEMA_DEPTH - 3):
        value = [value] if index % 2 else {"a": value}
    schema_to_grammar({"enum": [value, 1], "minimum": 1})


def test_number_of_values_is_limited():
    with pytest.raises(GrammarError, match=f"over {MAX_VALUES} values"):
        schema_to_grammar({"enum": list(range(MAX_VALUES))})


def test_number_of_rules_is_limited(monkeypatch):
    monkeypatch.setattr(rules, "MAX_RULES", 50)
    names = [f"p{index}" for index in range(50)]
    with pytest.raises(GrammarError, match="over 50 rules"):
        schema_to_grammar({"properties": {name: {"maxLength": 1} for name in names}})


def test_product_of_alternatives_is_limited():
    choice = {"anyOf": [{"type": "string", "minLength": n} for n in range(30)]}
    other = {"anyOf": [{"type": "string", "maxLength": 100 + n} for n in range(30)]}
    with pytest.raises(GrammarError, match="combinations of alternatives at #"):
        schema_to_grammar({"allOf": [choice, other]})


def test_chain_of_references_is_limited():
    definitions = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}", "minimum": n} for n in range(100)}
    with pytest.raises(GrammarError, match="schemas within one another"):
        schema_to_grammar({"$defs": {**definitions, "d100": {}}, "$ref": "#/$defs/d0"})


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"const": float("nan")}, "nan at #/const is not JSON"),
        ({"enum": [1, float("inf")]}, "inf at #/enum/1 is not JSON"),
        ({"const": {1: 2}}, "the key 1 at #/const is not JSON"),
        ({"const": {1, 2}}, "a Python set at #/const is not JSON"),
        ({"const": "\ud800"}, "half of a surrogate pair in a string at #/const is not JSON"),
        ({"properties": {"\udfff": {}}}, "surrogate"),
        ({"enum": (1, 2)}, "a Python tuple at #/enum is not JSON"),
    ],
)
def test_what_is_not_json_is_refused(schema, found):
    with pytest.raises(GrammarError, match=re.escape(found)):
        schema_to_grammar(schema)


def test_unknown_white_space_is_refused():
    with pytest.raises(ValueError, match="expected one of single, compact, any"):
        schema_to_grammar({}, whitespace="pretty")

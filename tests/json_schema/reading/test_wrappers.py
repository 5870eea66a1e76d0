"""Envelopes of APIs are refused, and the error says where the schema inside is."""

from __future__ import annotations

import re

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.json_schema import schema_to_grammar

INNER = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}

WRAPPERS = [
    ({"name": "n", "strict": True, "schema": INNER}, 'schema["schema"]'),
    (
        {"type": "json_schema", "json_schema": {"name": "n", "schema": INNER}},
        'schema["json_schema"]["schema"]',
    ),
    (
        {"type": "function", "function": {"name": "n", "parameters": INNER}},
        'schema["function"]["parameters"]',
    ),
    ({"type": "function", "name": "n", "parameters": INNER}, 'schema["parameters"]'),
    ({"name": "n", "description": "d", "inputSchema": INNER}, 'schema["inputSchema"]'),
    ({"name": "n", "input_schema": INNER}, 'schema["input_schema"]'),
    ({"tools": [{"name": "n", "input_schema": INNER}]}, 'schema["tools"][0]["input_schema"]'),
    ({"response_format": {"schema": {"enum": [1]}}}, 'schema["response_format"]["schema"]'),
    (
        {"openapi": "3.1.0", "components": {"schemas": {"P": INNER}}},
        'schema["components"]["schemas"]["P"]',
    ),
    ({"$schema": "x", "$defs": {"a/b": INNER}}, 'Add "$ref": "#/$defs/a~1b"'),
    ({"definitions": {"P": INNER}}, 'Add "$ref": "#/definitions/P"'),
]


@pytest.mark.parametrize(("schema", "advice"), WRAPPERS)
def test_what_is_inside_is_named(schema, advice):
    with pytest.raises(GrammarError, match=re.escape(advice)) as caught:
        schema_to_grammar(schema, allow_unenforced=True)
    assert "any JSON would satisfy it" in str(caught.value).replace("\n", " ")


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"title": "t", "description": "d"},
        {"default": {"type": "string"}},
        {"examples": [INNER]},
        {"x-origin": {"type": "string"}},
        {"colour": {"of": "grass"}},
        {"$ref": "#/$defs/P", "$defs": {"P": INNER}},
        {"type": "object", "schema": INNER},
    ],
)
def test_a_schema_that_says_little_is_one(schema):
    assert schema_to_grammar(schema).rules

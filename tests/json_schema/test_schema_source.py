"""The kinds of values that are accepted as a schema."""

from __future__ import annotations

from types import MappingProxyType

import pytest

from hivellm_lite.errors import GrammarError
from hivellm_lite.json_schema import schema_of, schema_to_grammar

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


class Model:
    """Has the method of a pydantic model."""

    @classmethod
    def model_json_schema(cls):
        return SCHEMA


class Adapter:
    """Has the method of a pydantic ``TypeAdapter``."""

    def json_schema(self):
        return SCHEMA


class Strange:
    def json_schema(self):
        return "schema"


@pytest.mark.parametrize(
    "given",
    [
        SCHEMA,
        MappingProxyType(SCHEMA),
        '{"type": "object", "properties": {"a": {"type": "integer"}}}',
        b'{"type": "object", "properties": {"a": {"type": "integer"}}}',
        Model,
        Model(),
        Adapter(),
    ],
)
def test_the_same_schema_in_every_form(given):
    assert dict(schema_of(given)) == SCHEMA
    assert schema_to_grammar(given) == schema_to_grammar(SCHEMA)


@pytest.mark.parametrize(("given", "schema"), [(True, True), ("false", False), (" true\n", True)])
def test_booleans_are_schemas(given, schema):
    assert schema_of(given) is schema


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{", "JSON schema: line 1"),
        ("[]", "expected an object"),
        ('{"const": NaN}', "NaN is not JSON"),
        ("", "The file is empty"),
        ("\ud800", "surrogate"),
        (b"\xff", "not UTF-8"),
        (3, "found a Python int"),
        (None, "found a Python NoneType"),
        (Strange(), "json_schema() returned a str"),
    ],
)
def test_everything_else_is_refused(given, message):
    with pytest.raises(GrammarError) as caught:
        schema_of(given)
    assert message in str(caught.value)


def test_grammar_names_its_source():
    assert schema_to_grammar({}, source="call.json").source == "call.json"

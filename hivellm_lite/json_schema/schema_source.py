"""Accepts a schema as JSON text, as Python data, or from a class that describes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

from ..errors import GrammarError
from ..strict_json.parsing import JsonError, parse_object

__all__ = ["HasJSONSchema", "HasModelJSONSchema", "JSONSchema", "schema_of"]


class HasModelJSONSchema(Protocol):
    """A class or object that describes its values, as pydantic's models do."""

    def model_json_schema(self) -> Mapping[str, object]:
        """The JSON schema of its values."""


class HasJSONSchema(Protocol):
    """An object that describes its values, as pydantic's ``TypeAdapter`` does."""

    def json_schema(self) -> Mapping[str, object]:
        """The JSON schema of its values."""


JSONSchema: TypeAlias = (
    Mapping[str, object] | bool | str | bytes | HasModelJSONSchema | HasJSONSchema
)
"""A JSON schema: Python data, JSON text, or a class or object that describes its values."""

_METHODS = ("model_json_schema", "json_schema")
"""The methods with which pydantic's models and type adapters return their schema."""


def schema_of(value: JSONSchema) -> Mapping[str, object] | bool:
    """Return the schema as Python data.

    ``value`` is a mapping or a boolean, JSON text, or a class or object with a method
    ``model_json_schema()`` or ``json_schema()``, such as a pydantic model or ``TypeAdapter``.
    This function does not import pydantic.

    Raises `GrammarError` for everything else.
    """
    if isinstance(value, (bool, Mapping)):
        return value
    if isinstance(value, (str, bytes)):
        return _parsed(value)
    for name in _METHODS:
        method = getattr(value, name, None)
        if callable(method):
            schema = method()
            if isinstance(schema, (bool, Mapping)):
                return schema
            raise GrammarError(
                f"JSON schema: {name}() returned a {type(schema).__name__}, expected a mapping\n"
                "Pass the schema itself."
            )
    raise GrammarError(
        f"JSON schema: found a Python {type(value).__name__}, expected a schema\n"
        "Pass a dict, JSON text, or a class with model_json_schema()."
    )


def _parsed(text: str | bytes) -> Mapping[str, object] | bool:
    try:
        data = text.encode("utf-8") if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise GrammarError(
            "JSON schema: the text has half of a surrogate pair\nPass text that UTF-8 can encode."
        ) from None
    if data.strip() in (b"true", b"false"):
        return data.strip() == b"true"
    try:
        return parse_object(data, source="JSON schema").value
    except JsonError as error:
        raise GrammarError(str(error)) from None

"""Writes grammars from JSON schemas: every text of such a grammar is valid for its schema.

::

    from hivellm_lite.json_schema import schema_to_grammar

    grammar = schema_to_grammar({"type": "object", "properties": {"name": {"type": "string"}}})

A schema with a keyword that a grammar cannot enforce is refused. ``docs/json-schema.md`` lists
these keywords.
"""

from __future__ import annotations

from .convert import schema_to_grammar, unenforced_keywords
from .layout import Whitespace
from .problems import Unenforced
from .schema_source import HasJSONSchema, HasModelJSONSchema, JSONSchema, schema_of

__all__ = [
    "HasJSONSchema",
    "HasModelJSONSchema",
    "JSONSchema",
    "Unenforced",
    "Whitespace",
    "schema_of",
    "schema_to_grammar",
    "unenforced_keywords",
]

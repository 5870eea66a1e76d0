"""Grammars and schemas that several tests of the commands about grammars use."""

from __future__ import annotations

import json

SUM = """\
# sums of whole numbers
root ::= sum
sum ::=
    sum plus_sign sum | number
plus_sign ::= "+" | "-"
number ::= [0-9]+
"""

SCHEMA = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
CLOSED = json.dumps({**SCHEMA, "additionalProperties": False})

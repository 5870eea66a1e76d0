"""Makes the corpus of ``grammars/tool-call.gbnf``.

The judge is Python's json and a JSON schema. It also checks that the keys are in order and that
none appears twice. The tests do not need it.

    pip install jsonschema==4.26.0
    python scripts/make_grammar_corpus_tool_call.py
"""

from __future__ import annotations

import json
import random
import re
from typing import Any, NoReturn

from grammar_corpora import hand_written, near_misses, write_corpus
from jsonschema import Draft202012Validator
from text_changes import changed_parts

PART = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.+-]+|\s+|[^\w\s]')

NOTE = {"type": ["string", "null"]}
CALL = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "arguments": {"type": "object"},
    },
    "required": ["name", "arguments"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {
        "tool_calls": {"type": "array", "items": CALL},
        "next_step": NOTE,
        "fallback": NOTE,
    },
    "required": ["tool_calls"],
    "additionalProperties": False,
}


def no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def in_order(found: dict[str, Any], schema: dict[str, Any]) -> bool:
    return list(found) == [key for key in schema["properties"] if key in found]


def is_tool_call(text: str) -> bool:
    """Whether ``text`` is an answer with tool calls, its keys in the order of the schema."""
    try:
        answer = json.loads(text, object_pairs_hook=once, parse_constant=no_constant)
    except ValueError:
        return False
    if not Draft202012Validator(SCHEMA).is_valid(answer):
        return False
    return in_order(answer, SCHEMA) and all(in_order(call, CALL) for call in answer["tool_calls"])


def restyled(text: str, rng: random.Random) -> str:
    """The same answer, compact or printed over several lines."""
    value = json.loads(text)
    if rng.random() < 0.3:
        return json.dumps(value, separators=(",", ":"))
    return json.dumps(value, ensure_ascii=False, indent=rng.choice((2, 4, "\t")))


def changed(text: str, rng: random.Random) -> str:
    return changed_parts(text, rng, PART)


def main() -> None:
    rng = random.Random(1)
    plain = hand_written("tool-call-valid.ndjson")
    valid = [*plain, *(restyled(text, rng) for text in plain)]
    missed = near_misses(plain, is_tool_call, changed, 100, rng)
    invalid = [*hand_written("tool-call-invalid.ndjson"), *missed]
    write_corpus("tool-call", is_tool_call, valid, invalid)


if __name__ == "__main__":
    main()

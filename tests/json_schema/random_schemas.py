"""Makes random schemas of enforced keywords, nested and combined at random."""

from __future__ import annotations

from random import Random
from typing import Any

__all__ = ["random_schema"]

_NAMES = ("a", "ab", "b", "x-1", 'q"')
_PATTERNS = ("^a", "b$", "^[ab]+$", "[0-9]", "^(x|yz){1,2}$", "")


def random_schema(rng: Random, depth: int = 3) -> Any:
    """A schema in which the generator makes every choice, so a seed repeats the schema."""
    kinds = ["null", "boolean", "integer", "number", "string", "enum"]
    if depth > 0:
        kinds += ["array", "object", "anyOf", "allOf", "oneOf", "object", "untyped"]
    kind = rng.choice(kinds)
    if kind in ("anyOf", "allOf", "oneOf"):
        branches = [random_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]
        siblings = _typed(rng, rng.choice(["object", "integer"]), 0) if rng.random() < 0.3 else {}
        return {kind: branches, **siblings}
    if kind == "enum":
        return {"enum": rng.sample([None, True, 0, 1, 2.5, "a", "ab", [1], {"a": 1}], 3)}
    if kind == "untyped":
        schema = _typed(rng, rng.choice(["integer", "string", "array", "object"]), depth - 1)
        del schema["type"]
        return schema
    return _typed(rng, kind, depth - 1)


def _typed(rng: Random, kind: str, depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": kind}
    if kind in ("integer", "number"):
        _sometimes(rng, schema, "minimum", lambda: rng.choice([-20, -1, 0, 3, 9, 10, 0.5]))
        _sometimes(rng, schema, "exclusiveMaximum", lambda: rng.choice([11, 100, 10.5, 1234]))
        _sometimes(rng, schema, "multipleOf", lambda: rng.choice([1, 10]), chance=0.1)
    elif kind == "string":
        _sometimes(rng, schema, "minLength", lambda: rng.randint(0, 2))
        _sometimes(rng, schema, "maxLength", lambda: rng.randint(2, 4))
        _sometimes(rng, schema, "pattern", lambda: rng.choice(_PATTERNS))
    elif kind == "array":
        _sometimes(rng, schema, "items", lambda: random_schema(rng, depth))
        _sometimes(
            rng, schema, "prefixItems", lambda: [random_schema(rng, depth) for _ in range(2)]
        )
        _sometimes(rng, schema, "minItems", lambda: rng.randint(0, 2))
        _sometimes(rng, schema, "maxItems", lambda: rng.randint(2, 4))
    elif kind == "object":
        names = rng.sample(_NAMES, rng.randint(0, 3))
        _sometimes(
            rng, schema, "properties", lambda: {n: random_schema(rng, depth) for n in names}, 0.8
        )
        _sometimes(rng, schema, "required", lambda: rng.sample(_NAMES, rng.randint(0, 2)), 0.4)
        _sometimes(rng, schema, "additionalProperties", lambda: random_schema(rng, depth), 0.3)
        _sometimes(rng, schema, "patternProperties", lambda: {"^x": random_schema(rng, depth)}, 0.2)
        _sometimes(rng, schema, "propertyNames", lambda: {"maxLength": 2}, 0.1)
        _sometimes(rng, schema, "minProperties", lambda: rng.randint(0, 2), 0.2)
        _sometimes(rng, schema, "maxProperties", lambda: rng.randint(0, 3), 0.2)
        _sometimes(rng, schema, "dependentRequired", lambda: {"a": ["b"]}, 0.1)
    return schema


def _sometimes(
    rng: Random, schema: dict[str, Any], keyword: str, value: Any, chance: float = 0.5
) -> None:
    if rng.random() < chance:
        schema[keyword] = value()

"""Checks that a schema given as Python data is JSON of bounded depth and size."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ...errors import GrammarError
from .pointers import escaped

__all__ = ["MAX_SCHEMA_DEPTH", "MAX_VALUES", "check_json"]

MAX_SCHEMA_DEPTH = 64
"""Levels of objects and arrays in a schema. Reading one level may take a dozen nested calls."""

MAX_VALUES = 100_000
"""Values in a schema. The largest published schemas have about ten thousand."""


def check_json(root: object) -> None:
    """Raise `GrammarError` for values that are not JSON, and for too deep or too large schemas.

    The limit of depth also ends the walk through an object that contains itself.
    """
    pending: list[tuple[object, int, str]] = [(root, 0, "#")]
    count = 0
    while pending:
        value, depth, pointer = pending.pop()
        count += 1
        if depth > MAX_SCHEMA_DEPTH:
            raise GrammarError(
                f"JSON schema: nested over {MAX_SCHEMA_DEPTH} levels deep\n"
                "Move inner schemas into '$defs' and refer to them."
            )
        if count > MAX_VALUES:
            raise GrammarError(f"JSON schema: over {MAX_VALUES} values\nUse a smaller schema.")
        if isinstance(value, Mapping):
            for key, member in value.items():
                if not isinstance(key, str):
                    raise _no_json(pointer, f"the key {key!r:.40}")
                _check_text(key, pointer)
                pending.append((member, depth + 1, f"{pointer}/{escaped(key)}"))
        elif isinstance(value, list):
            pending.extend((v, depth + 1, f"{pointer}/{i}") for i, v in enumerate(value))
        elif isinstance(value, str):
            _check_text(value, pointer)
        elif isinstance(value, float):
            if not math.isfinite(value):
                raise _no_json(pointer, str(value))
        elif value is not None and not isinstance(value, int):
            raise _no_json(pointer, f"a Python {type(value).__name__}")


def _check_text(text: str, pointer: str) -> None:
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise _no_json(pointer, "half of a surrogate pair in a string")


def _no_json(pointer: str, found: str) -> GrammarError:
    return GrammarError(
        f"JSON schema: {found} at {pointer} is not JSON\n"
        "Use objects with string keys, lists, strings, finite numbers, booleans and None."
    )

"""JSON from files that anybody may have written: bounded in size and depth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ConversionError

__all__ = ["MAX_JSON_BYTES", "parse_json", "read_json"]

MAX_JSON_BYTES = 200_000_000
"""The tokenizer.json of a vocabulary of 256,000 tokens has 33 MB."""

MAX_DEPTH = 32
"""Deeper values overflow the stack of whoever walks or prints them; real ones have ten levels."""


def parse_json(
    text: str, *, pairs_hook: Callable[[list[tuple[str, Any]]], dict[str, Any]] | None = None
) -> Any:
    """``json.loads`` that raises ValueError for everything it does not like."""
    try:
        value = json.loads(text, object_pairs_hook=pairs_hook)
    except RecursionError as error:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from error
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        if not level:
            return value
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(child, (dict, list))
        ]
    raise ValueError(f"nested deeper than {MAX_DEPTH} levels")


def read_json(path: Path, *, max_bytes: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """The JSON object in ``path``; ConversionError when there is none."""
    try:
        if path.stat().st_size > max_bytes:
            raise ConversionError(f"{path} is larger than {max_bytes} bytes")
        value = parse_json(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConversionError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise ConversionError(f"{path}: not a JSON object")
    return value

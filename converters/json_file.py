"""Reads JSON from untrusted files, within limits of size, memory and depth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import ConversionError
from ..strict_json.cost import json_memory

__all__ = ["parse_json", "read_json", "read_tokenizer_json"]

MAX_JSON_BYTES = 16_000_000
"""The index of a checkpoint with 90,000 tensors takes 13 MB. No other file takes over 1 MB."""

MAX_JSON_MEMORY = 128 << 20
"""Memory that the values of a file may take."""

MAX_TOKENIZER_BYTES = 64_000_000
"""The tokenizer.json of a vocabulary with 256,000 tokens takes 33 MB."""

MAX_TOKENIZER_MEMORY = 480 << 20
"""The values of that tokenizer.json take 300 MB."""

MAX_DEPTH = 32
"""Deeper values overflow the stack of code that walks or prints them. Real files have ten."""


def parse_json(
    data: bytes,
    *,
    max_memory: int = MAX_JSON_MEMORY,
    pairs_hook: Callable[[list[tuple[str, Any]]], dict[str, Any]] | None = None,
) -> Any:
    """``json.loads`` for untrusted bytes.

    Raises ValueError for anything that is not JSON or exceeds a limit, and UnicodeDecodeError, a
    ValueError too, for bytes that are not UTF-8. Input whose values would take more than
    ``max_memory`` bytes is refused before it is parsed.
    """
    if (needed := json_memory(data)) > max_memory:
        raise ValueError(
            f"its values would take up to {needed / 1e6:.0f} MB of memory; "
            f"{max_memory / 1e6:.0f} MB are allowed"
        )
    text = data.decode("utf-8")
    try:
        value = json.loads(text, object_pairs_hook=pairs_hook)
    except RecursionError:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        if "digits" not in str(error):
            raise
        # Python's own message explains how to lift its limit, which is wrong for untrusted files.
        raise ValueError("a number has too many digits") from None
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


def read_json(
    path: Path, *, max_bytes: int = MAX_JSON_BYTES, max_memory: int = MAX_JSON_MEMORY
) -> dict[str, Any]:
    """The JSON object in ``path``. Raises ConversionError for anything else."""
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
        if len(data) > max_bytes:
            raise ConversionError(f"{path} is larger than {max_bytes} bytes")
        value = parse_json(data, max_memory=max_memory)
    except UnicodeDecodeError as error:
        raise ConversionError(
            f"cannot read {path}: not UTF-8 ({error.reason} at byte {error.start})"
        ) from None
    except (OSError, ValueError) as error:
        raise ConversionError(f"cannot read {path}: {error}") from error
    if not isinstance(value, dict):
        raise ConversionError(f"{path}: not a JSON object")
    return value


def read_tokenizer_json(path: Path) -> dict[str, Any]:
    """`read_json` with the limits of a tokenizer.json, by far the largest of the JSON files."""
    return read_json(path, max_bytes=MAX_TOKENIZER_BYTES, max_memory=MAX_TOKENIZER_MEMORY)

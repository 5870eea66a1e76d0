"""Reads the merges of a BPE tokenizer: pairs of parts, best first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ConversionError

__all__ = ["read_merges"]


def read_merges(model: Mapping[str, Any], path: Path) -> list[tuple[str, str]]:
    """The merges of ``model``, best first.

    Newer files hold pairs, older files hold strings with a space between the parts. Raises
    ConversionError for a merge that does not make a token of ``model.vocab``.
    """
    merges, vocab = model.get("merges"), model["vocab"]
    if not isinstance(merges, list):
        raise ConversionError(f"{path}: model.merges is missing")
    pairs = []
    for index, merge in enumerate(merges):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if isinstance(pair, list) and len(pair) == 2:
            left, right = pair
            both = isinstance(left, str) and isinstance(right, str) and left and right
            if both and left + right in vocab:
                pairs.append((left, right))
                continue
        raise ConversionError(f"{path}: merge {index} is not a pair of parts of a token: {merge!r}")
    return pairs

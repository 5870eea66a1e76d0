"""The files of a variant's model: of the base's parts and its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..gguf.header import read_gguf_header

__all__ = ["loading_order"]


def loading_order(base_parts: Sequence[Path], variant: Path) -> list[Path]:
    """The files of a variant's model: the base's parts, except where the variant has its own."""
    order = [variant / part.name if (variant / part.name).exists() else part for part in base_parts]
    names = {part.name for part in base_parts}
    return order + sorted(
        (path for path in variant.glob("*.gguf") if path.name not in names), key=_part_number
    )


def _part_number(path: Path) -> int:
    return int(read_gguf_header(path, part=True).metadata["split.no"])

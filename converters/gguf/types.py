"""ggml's tensor types: names, numbers and sizes."""

from __future__ import annotations

import math

__all__ = ["n_tensor_bytes", "type_name", "type_number"]


def type_name(number: int) -> str:
    """The name of a type: ``Q8_0`` for 8; ``type 99`` for 99, newer than the installed gguf."""
    from gguf.constants import GGMLQuantizationType

    try:
        return str(GGMLQuantizationType(number).name)
    except ValueError:
        return f"type {number}"


def type_number(name: str) -> int:
    """The inverse of `type_name`. Raises KeyError for an unknown name."""
    from gguf.constants import GGMLQuantizationType

    return int(GGMLQuantizationType[name])


def n_tensor_bytes(shape: tuple[int, ...], name: str) -> int | None:
    """Bytes of a tensor's data. None means an unknown type, -1 an impossible length of rows."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    if name not in GGMLQuantizationType.__members__:
        return None
    block, n_bytes = GGML_QUANT_SIZES[GGMLQuantizationType[name]]
    if shape[-1] % block:
        return -1
    return int(math.prod(shape) // block * n_bytes)

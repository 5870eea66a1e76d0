"""ggml's tensor types: names, numbers and sizes.

The ``gguf`` package has the same table, and takes longer to import than a header takes to read.

Source: ``ggml_type`` in ggml/include/ggml.h and ``type_traits`` in ggml/src/ggml.c of llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["TENSOR_TYPES", "TensorLayout", "n_tensor_bytes", "type_name", "type_number"]


class TensorLayout(NamedTuple):
    """A type's number in files. ``n_block`` values take ``n_bytes`` together."""

    number: int
    n_block: int
    n_bytes: int


TENSOR_TYPES: Mapping[str, TensorLayout] = {
    "F32": TensorLayout(0, 1, 4),
    "F16": TensorLayout(1, 1, 2),
    "Q4_0": TensorLayout(2, 32, 18),
    "Q4_1": TensorLayout(3, 32, 20),
    "Q5_0": TensorLayout(6, 32, 22),
    "Q5_1": TensorLayout(7, 32, 24),
    "Q8_0": TensorLayout(8, 32, 34),
    "Q8_1": TensorLayout(9, 32, 40),
    "Q2_K": TensorLayout(10, 256, 84),
    "Q3_K": TensorLayout(11, 256, 110),
    "Q4_K": TensorLayout(12, 256, 144),
    "Q5_K": TensorLayout(13, 256, 176),
    "Q6_K": TensorLayout(14, 256, 210),
    "Q8_K": TensorLayout(15, 256, 292),
    "IQ2_XXS": TensorLayout(16, 256, 66),
    "IQ2_XS": TensorLayout(17, 256, 74),
    "IQ3_XXS": TensorLayout(18, 256, 98),
    "IQ1_S": TensorLayout(19, 256, 50),
    "IQ4_NL": TensorLayout(20, 32, 18),
    "IQ3_S": TensorLayout(21, 256, 110),
    "IQ2_S": TensorLayout(22, 256, 82),
    "IQ4_XS": TensorLayout(23, 256, 136),
    "I8": TensorLayout(24, 1, 1),
    "I16": TensorLayout(25, 1, 2),
    "I32": TensorLayout(26, 1, 4),
    "I64": TensorLayout(27, 1, 8),
    "F64": TensorLayout(28, 1, 8),
    "IQ1_M": TensorLayout(29, 256, 56),
    "BF16": TensorLayout(30, 1, 2),
    "TQ1_0": TensorLayout(34, 256, 54),
    "TQ2_0": TensorLayout(35, 256, 66),
    "MXFP4": TensorLayout(39, 32, 17),
    "NVFP4": TensorLayout(40, 64, 36),
    "Q1_0": TensorLayout(41, 128, 18),
}
"""All types by name."""

_NAMES = {layout.number: name for name, layout in TENSOR_TYPES.items()}


def type_name(number: int) -> str:
    """The name of a type: ``Q8_0`` for 8; ``type 99`` for 99, newer than this table."""
    return _NAMES.get(number) or f"type {number}"


def type_number(name: str) -> int:
    """The inverse of `type_name`. Raises KeyError for an unknown name."""
    return TENSOR_TYPES[name].number


def n_tensor_bytes(shape: tuple[int, ...], name: str) -> int | None:
    """Bytes of a tensor's data. None means an unknown type, -1 an impossible length of rows."""
    layout = TENSOR_TYPES.get(name)
    if layout is None:
        return None
    if shape[-1] % layout.n_block:
        return -1
    return math.prod(shape) // layout.n_block * layout.n_bytes

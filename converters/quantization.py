"""Encodes rows of float32 weights as GGUF tensor data.

Bit for bit what ``gguf.quants`` makes, which is bit for bit what ggml makes;
Q8_0 is computed here in another order of steps because it decides how long the
conversion of a base takes (three times faster than ``gguf.quants``).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from .safetensors import Array, Float32Array

__all__ = ["TensorType", "encode_rows", "row_bytes", "tensor_type"]

TensorType = Literal["F32", "F16", "BF16", "Q8_0"]

Q8_0_BLOCK = 32
"""Elements that share one scale."""

Q8_0_BLOCK_BYTES = 34
"""A float16 scale and 32 signed bytes."""

Q8_0_CHUNK = 2048
"""Blocks encoded at a time, 0.25 MB of float32: intermediate results stay in the cache."""


def tensor_type(quant: str, shape: tuple[int, ...]) -> TensorType:
    """The type of a tensor of ``shape`` in a file of kind ``quant`` (``q8_0`` and so on).

    Vectors stay F32; rows that are no multiple of 32 cannot be Q8_0 and become
    F16, as in llama.cpp's converter.
    """
    if len(shape) < 2 or quant == "f32":
        return "F32"
    if quant == "bf16":
        return "BF16"
    return "Q8_0" if quant == "q8_0" and shape[-1] % Q8_0_BLOCK == 0 else "F16"


def row_bytes(kind: TensorType, n_elements: int) -> int:
    """Bytes of a row of ``n_elements``."""
    if kind == "Q8_0":
        return n_elements // Q8_0_BLOCK * Q8_0_BLOCK_BYTES
    return n_elements * (4 if kind == "F32" else 2)


def encode_rows(values: Float32Array, kind: TensorType) -> Array:
    """``values`` as ``kind``. Values beyond float16's range become infinite there."""
    if kind == "F32":
        return values
    if kind == "F16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16)
    if kind == "BF16":
        return _encode_bf16(values)
    return _encode_q8_0(values)


def _encode_bf16(values: Float32Array) -> Array:
    """Round to nearest, ties to even, on the bits; finite input only."""
    bits = values.view(np.uint32)
    rounding = (bits >> 16) & 1
    rounding += 0x7FFF
    rounding += bits
    rounding >>= 16
    return rounding.astype(np.uint16)


def _encode_q8_0(values: Float32Array) -> Array:
    """Each block of 32: scale ``d = max|x| / 127`` as float16, then ``round(x / d)``."""
    blocks = values.reshape(-1, Q8_0_BLOCK)
    out = np.empty((len(blocks), Q8_0_BLOCK_BYTES), np.uint8)
    for start in range(0, len(blocks), Q8_0_CHUNK):
        chunk = blocks[start : start + Q8_0_CHUNK]
        target = out[start : start + Q8_0_CHUNK]
        # numpy reduces along a short last axis slowly, so the maxima are taken transposed.
        largest = np.ascontiguousarray(np.abs(chunk).T).max(axis=0)
        scale = largest[:, None] / np.float32(127)
        with np.errstate(divide="ignore", over="ignore"):
            inverse = np.float32(1) / scale
        inverse[~np.isfinite(inverse)] = 0
        # Round half away from zero: truncate twice the value (exact in float32), then
        # halve in integers. For negative numbers the shift itself rounds the right way.
        doubled = chunk * inverse
        doubled *= 2
        steps = doubled.astype(np.int16)
        steps += (steps >= 0).view(np.int8)
        steps >>= 1
        with np.errstate(over="ignore"):
            target[:, :2] = scale.astype(np.float16).view(np.uint8)
        target[:, 2:] = steps.astype(np.int8).view(np.uint8)
    return out.reshape(*values.shape[:-1], -1)

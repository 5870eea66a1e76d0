"""Unpacks small integers and 4-bit floats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...safetensors import Array, Float32Array

__all__ = ["FP4", "e8m0", "unpack_nibbles", "unpack_words"]

Bytes = npt.NDArray[np.uint8]

FP4: Float32Array = np.array(
    [*(0, 0.5, 1, 1.5, 2, 3, 4, 6), *(-0.0, -0.5, -1, -1.5, -2, -3, -4, -6)], np.float32
)
"""The values of E2M1, a float of four bits.

Source: OCP Microscaling Formats (MX) Specification 1.0.
"""


def unpack_words(words: Array, bits: int, count: int) -> Bytes:
    """``count`` unsigned integers of ``bits`` bits, up to 8, along the last axis of int32 words.

    The lowest bits of a word come first, and an integer may reach into the next word.
    """
    data: Bytes = np.ascontiguousarray(words).view(np.uint8)
    if bits == 8:
        return data[..., :count]
    if bits in (2, 4):
        per_byte = 8 // bits
        found = np.empty((*data.shape, per_byte), np.uint8)
        for place in range(per_byte):
            found[..., place] = (data >> (bits * place)) & ((1 << bits) - 1)
        return found.reshape(*data.shape[:-1], -1)[..., :count]
    stream = np.unpackbits(data, axis=-1, bitorder="little")
    stream = stream[..., : count * bits].reshape(*data.shape[:-1], count, bits)
    return np.packbits(stream, axis=-1, bitorder="little")[..., 0]


def unpack_nibbles(data: Bytes) -> Bytes:
    """Two integers for each byte along the last axis, the lower four bits first."""
    found = np.empty((*data.shape, 2), np.uint8)
    found[..., 0] = data & 15
    found[..., 1] = data >> 4
    return found.reshape(*data.shape[:-1], -1)


def e8m0(exponents: Array, /) -> Float32Array:
    """Powers of two whose exponents are stored with a bias of 127; 255 is NaN."""
    with np.errstate(over="ignore"):
        powers = np.ldexp(np.float32(1), exponents.astype(np.int32) - 127)
    found: Float32Array = np.where(exponents == 255, np.float32(np.nan), powers)
    return found

"""Integers of 2, 4 or 8 bits that compressed-tensors packs into words, with scales of groups.

``weight_packed`` holds each row's values plus ``2^(bits - 1)``; ``weight_zero_point`` the zero
points in the same way, packed along the outputs, or in older files one byte for each.
``weight_g_idx`` gives the group of each input where the order was changed.

Source: ``PackedQuantizationCompressor`` in compressors/pack_quantized of compressed-tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....errors import ConversionError
from ...safetensors import Float32Array
from ..tensors import TensorReader
from .bits import unpack_words
from .scaled import Grid, scales_of
from .settings import QuantizationSettings
from .tensor import Dequantised, Found, require

__all__ = ["find"]

BITS = (2, 4, 8)


def find(tensors: Mapping[str, TensorReader], _settings: QuantizationSettings) -> Iterator[Found]:
    """The weights in int32 words. Raises ConversionError for a damaged one."""
    for name, tensor in tensors.items():
        if name.endswith("_packed") and tensor.info(name).dtype == "I32":
            yield _weight(tensors, name.removesuffix("_packed"))


@dataclass(frozen=True)
class _Weight(Dequantised):
    """``groups`` is the group of each input, where it is not the next one."""

    packed: TensorReader
    name: str
    bits: int
    scales: Grid
    zeros: TensorReader | None
    zeros_name: str
    groups: npt.NDArray[np.int32] | None

    def rows(self, start: int, stop: int) -> Float32Array:
        scales, zeros = self.kept.get(self._load)
        words, width = self.packed.read_stored(self.name, start, stop), self.shape[1]
        values = unpack_words(words, self.bits, width).astype(np.float32)
        places = self.groups
        if places is None:
            places = (np.arange(width) // self.scales.block[1]).astype(np.int32)
        if zeros is None:
            values -= 1 << (self.bits - 1)
        else:
            values -= zeros[start:stop][:, places]
        return values * self.scales.of_rows(scales, start, stop)[:, places]

    def _load(self) -> tuple[Float32Array, npt.NDArray[np.int16] | None]:
        if self.zeros is None:
            return self.scales.load(), None
        stored = self.zeros.read_stored(self.zeros_name)
        if self.zeros.info(self.zeros_name).dtype == "I8":
            return self.scales.load(), stored.astype(np.int16) + np.int16(1 << (self.bits - 1))
        zeros = unpack_words(stored.T, self.bits, self.shape[0]).T
        return self.scales.load(), np.ascontiguousarray(zeros).astype(np.int16)


def _weight(tensors: Mapping[str, TensorReader], name: str) -> Found:
    what = f"the packed weight {name!r}"
    packed = require(tensors, f"{name}_packed", {"I32"}, what)
    sizes = require(tensors, f"{name}_shape", {"I64", "I32"}, what)
    used = [f"{name}_packed", f"{name}_shape", f"{name}_scale"]
    words = packed.info(f"{name}_packed").shape
    if sizes.info(f"{name}_shape").shape != (2,) or len(words) != 2:
        raise ConversionError(f"{packed.path}: {name!r} is not a packed matrix")
    rows, columns = (int(n) for n in sizes.read_stored(f"{name}_shape"))
    fitting = [bits for bits in BITS if -(-columns * bits // 32) == words[1]]
    if not 0 < rows == words[0] or not columns > 0 or len(fitting) != 1:
        raise ConversionError(
            f"{packed.path}: {name!r} is [{rows}, {columns}] in words of {list(words)}: neither 2, "
            "4 nor 8 bits"
        )
    (bits,) = fitting
    scales = scales_of(tensors, f"{name}_scale", (rows, columns))
    n_groups = scales.shape[1]
    zeros, groups = None, None
    if (zero := f"{name}_zero_point") in tensors:
        used.append(zero)
        zeros = require(tensors, zero, {"I32", "I8"}, what)
        whole = rows if zeros.info(zero).dtype == "I8" else -(-rows * bits // 32)
        if zeros.info(zero).shape != (whole, n_groups):
            raise ConversionError(f"{zeros.path}: {zero!r} does not fit {n_groups} groups")
    if (order := f"{name}_g_idx") in tensors:
        used.append(order)
        stored = require(tensors, order, {"I32", "I64"}, what)
        groups = stored.read_stored(order).astype(np.int32)
        if groups.shape != (columns,) or not 0 <= groups.min() <= groups.max() < n_groups:
            raise ConversionError(f"{stored.path}: {order!r} does not name {n_groups} groups")
    dtype = tensors[f"{name}_scale"].info(f"{name}_scale").dtype
    tensor = _Weight(
        path=packed.path,
        shape=(rows, columns),
        dtype=dtype if dtype in ("F16", "BF16") else "F32",
        method=f"int{bits} (compressed-tensors)",
        packed=packed,
        name=f"{name}_packed",
        bits=bits,
        scales=scales,
        zeros=zeros,
        zeros_name=zero,
        groups=groups,
    )
    return Found(name, tensor, used)

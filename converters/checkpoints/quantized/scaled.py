"""Weights of one byte with scales: FP8 and INT8, each value times the scale of its place.

A scale is one number for the whole weight, one for each row, or one for each block, such as 128 ×
128 values or a group of a row. FP8 models of DeepSeek, Qwen and Mistral call it
``weight_scale_inv``, compressed-tensors, FBGEMM and ModelOpt ``weight_scale``. Both are
multiplied. compressed-tensors may add a zero point for each scale.

Source: ``Fp8Dequantize`` in integrations/finegrained_fp8.py of Transformers, ``dequantize`` in
quantization/lifecycle/forward.py of compressed-tensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ....errors import ConversionError
from ...safetensors import FLOATS, FLOATS_OF_A_BYTE, Float32Array, to_float32
from ..tensors import TensorReader
from .bits import e8m0
from .settings import QuantizationSettings
from .tensor import Dequantised, Found, require

__all__ = ["Grid", "find", "scales_of"]

_SUFFIXES = ("_scale_inv", "_scale")


@dataclass(frozen=True)
class Grid:
    """Numbers for blocks of a matrix: ``shape`` of them, each for ``block`` = (rows, columns).

    ``exponents``: stored are the exponents of powers of two.
    """

    stored: TensorReader
    name: str
    shape: tuple[int, int]
    block: tuple[int, int]
    exponents: bool

    def load(self) -> Float32Array:
        """All numbers, of ``shape``. Raises ConversionError for NaN and infinity."""
        stored = self.stored.read_stored(self.name)
        if self.exponents:
            values = e8m0(stored)
        else:
            values = to_float32(stored, self.stored.info(self.name).dtype)
        if not np.isfinite(values).all():
            raise ConversionError(f"{self.stored.path}: {self.name!r} has NaN or infinity")
        return values.reshape(self.shape)

    def of_rows(self, values: Float32Array, start: int, stop: int) -> Float32Array:
        """The numbers ``values``, as loaded, of rows ``start:stop``: (rows, blocks)."""
        found: Float32Array = values[np.arange(start, stop) // self.block[0]]
        return found

    def spread(self, values: Float32Array, start: int, stop: int, width: int) -> Float32Array:
        """The number of each element of rows ``start:stop``, or of each row if all are equal."""
        found = self.of_rows(values, start, stop)
        if found.shape[1] == 1:
            return found
        return np.repeat(found, self.block[1], axis=1)[:, :width]


def find(tensors: Mapping[str, TensorReader], settings: QuantizationSettings) -> Iterator[Found]:
    """The weights of one byte that have scales. Raises ConversionError for a damaged one."""
    for name, tensor in tensors.items():
        dtype = tensor.info(name).dtype
        if dtype != "I8" and dtype not in FLOATS_OF_A_BYTE:
            continue
        suffix = next((suffix for suffix in _SUFFIXES if name + suffix in tensors), None)
        if suffix is not None:
            yield _weight(tensors, name, suffix, settings)
        elif settings.method and dtype == "F8_E4M3" and name.endswith(".weight"):
            raise ConversionError(
                f"{tensor.path}: {name!r} is {dtype} and has no scale ({name}_scale or "
                f"{name}_scale_inv): the checkpoint is incomplete, or in another format"
            )


@dataclass(frozen=True)
class _Weight(Dequantised):
    stored: TensorReader
    name: str
    scales: Grid
    zeros: Grid | None

    def rows(self, start: int, stop: int) -> Float32Array:
        scales, zeros = self.kept.get(self._load)
        stored, width = self.stored.read_stored(self.name, start, stop), self.shape[1]
        values = to_float32(stored, self.stored.info(self.name).dtype)
        if self.zeros is not None:
            values = values - self.zeros.spread(zeros, start, stop, width)
        return values * self.scales.spread(scales, start, stop, width)

    def _load(self) -> tuple[Float32Array, Float32Array | None]:
        return self.scales.load(), None if self.zeros is None else self.zeros.load()


def _weight(
    tensors: Mapping[str, TensorReader], name: str, suffix: str, settings: QuantizationSettings
) -> Found:
    stored = tensors[name]
    info = stored.info(name)
    if len(info.shape) != 2 or 0 in info.shape:
        raise ConversionError(
            f"{stored.path}: {name!r} is quantised ({info.dtype}) and has the shape "
            f"{list(info.shape)}; only matrices are read"
        )
    used = [name, name + suffix]
    scale = tensors[name + suffix]
    block = _block(settings)
    zero = f"{name}_zero_point"
    zeros = None
    if zero in tensors:
        used.append(zero)
        zeros = scales_of(tensors, zero, info.shape, block, of="zero points")
    dtype = scale.info(name + suffix).dtype
    kind = "int8" if info.dtype == "I8" else "fp8"
    tensor = _Weight(
        path=stored.path,
        shape=info.shape,
        dtype=dtype if dtype in ("F16", "BF16") else "F32",
        method=kind,
        stored=stored,
        name=name,
        scales=scales_of(tensors, name + suffix, info.shape, block),
        zeros=zeros,
    )
    return Found(name, tensor, used)


def _block(settings: QuantizationSettings) -> tuple[int, int] | None:
    """The size of a block that the settings give; None if they give none."""
    block = settings.options.get("weight_block_size")
    if block is None:
        groups = settings.options.get("config_groups")
        for group in groups.values() if isinstance(groups, dict) else ():
            weights = group.get("weights") if isinstance(group, dict) else None
            block = block or (weights.get("block_structure") if isinstance(weights, dict) else None)
    if block is None:
        return None
    if isinstance(block, str) and re.fullmatch(r"[0-9]{1,6}x[0-9]{1,6}", block):
        block = [int(size) for size in block.split("x")]
    if (
        not isinstance(block, list)
        or len(block) != 2
        or not all(type(n) is int and 0 < n < 1 << 20 for n in block)
    ):
        raise ConversionError(
            f"{settings.source}: the block of a scale is {block!r:.50}, expected two sizes"
        )
    return block[0], block[1]


def scales_of(
    tensors: Mapping[str, TensorReader],
    name: str,
    shape: tuple[int, ...],
    block: tuple[int, int] | None = None,
    *,
    of: str = "scales",
) -> Grid:
    """The scales ``name`` of a matrix of ``shape``. Raises ConversionError if they do not fit.

    ``block`` is the size of a block where the matrix does not divide evenly.
    """
    known = FLOATS | FLOATS_OF_A_BYTE | {"U8", "I8", "F8_E8M0"}
    tensor = require(tensors, name, known, "a quantised weight")
    info = tensor.info(name)
    grid = info.shape if len(info.shape) > 1 else (info.n_elements, 1)
    if len(grid) == 2 and 0 not in grid:
        wanted = block or (0, 0)
        rows, columns = (_step(shape[i], grid[i], wanted[i]) for i in (0, 1))
        if rows and columns:
            exponents = info.dtype == "F8_E8M0" or (info.dtype == "U8" and of == "scales")
            return Grid(tensor, name, (grid[0], grid[1]), (rows, columns), exponents)
    raise ConversionError(
        f"{tensor.path}: {of} {name!r} of shape {list(info.shape)} do not fit a weight of "
        f"{list(shape)}"
    )


def _step(n: int, count: int, wanted: int) -> int:
    """How many of ``n`` places share one of ``count`` numbers; 0 if it cannot be told."""
    if wanted and -(-n // wanted) == count:
        return wanted
    return n // count if n % count == 0 else 0

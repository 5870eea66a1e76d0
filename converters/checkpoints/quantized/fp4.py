"""Floats of four bits, two in a byte, with scales of short blocks: MXFP4 and NVFP4.

MXFP4 has a power of two for each 32 values. gpt-oss stores its experts so, in ``…_blocks`` and
``…_scales``, each as [experts, outputs, blocks, 16]; Transformers presents them with inputs before
outputs. compressed-tensors and ModelOpt store matrices: ``weight_packed`` with a scale for each 16
or 32 values, and NVFP4 with one more for the whole weight, by which compressed-tensors divides and
ModelOpt multiplies.

Source: ``convert_moe_packed_tensors`` in integrations/mxfp4.py of Transformers,
``NVFP4PackedCompressor`` of compressed-tensors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ....errors import ConversionError
from ...safetensors import Float32Array
from ..tensors import TensorReader
from .bits import FP4, e8m0, unpack_nibbles
from .scaled import Grid, scales_of
from .settings import QuantizationSettings
from .tensor import Dequantised, Found, require, values_of

__all__ = ["find"]


def find(tensors: Mapping[str, TensorReader], _settings: QuantizationSettings) -> Iterator[Found]:
    """Weights of four bits in bytes. Raises ConversionError for a damaged one."""
    for name, tensor in tensors.items():
        if tensor.info(name).dtype != "U8":
            continue
        if name.endswith("_blocks") and f"{name.removesuffix('_blocks')}_scales" in tensors:
            yield _experts(tensors, name.removesuffix("_blocks"))
        elif name.endswith("_packed"):
            plain = name.removesuffix("_packed")
            yield _matrix(tensors, plain, name, f"{plain}_global_scale", divide=True)
        elif name.endswith(".weight") and f"{name}_scale_2" in tensors:
            yield _matrix(tensors, name, name, f"{name}_scale_2", divide=False)


@dataclass(frozen=True)
class _Experts(Dequantised):
    blocks: TensorReader
    name: str
    scales: TensorReader
    scales_name: str

    def rows(self, start: int, stop: int) -> Float32Array:
        blocks = self.blocks.read_stored(self.name, start, stop)
        powers = e8m0(self.scales.read_stored(self.scales_name, start, stop))
        values: Float32Array = FP4[unpack_nibbles(blocks.view(np.uint8))] * powers[..., None]
        shape = (stop - start, self.shape[2], self.shape[1])
        return np.ascontiguousarray(values.reshape(shape).transpose(0, 2, 1))


def _experts(tensors: Mapping[str, TensorReader], name: str) -> Found:
    what = f"the MXFP4 tensor {name!r}"
    blocks = require(tensors, f"{name}_blocks", {"U8"}, what)
    scales = require(tensors, f"{name}_scales", {"U8"}, what)
    shape, scale_shape = blocks.info(f"{name}_blocks").shape, scales.info(f"{name}_scales").shape
    if len(shape) != 4 or shape[:3] != scale_shape or shape[3] != 16 or 0 in shape:
        raise ConversionError(
            f"{blocks.path}: {name!r} has blocks of {list(shape)} and scales of "
            f"{list(scale_shape)}; expected [experts, outputs, blocks, 16] and the same without 16"
        )
    tensor = _Experts(
        path=blocks.path,
        shape=(shape[0], 32 * shape[2], shape[1]),
        dtype="BF16",
        method="mxfp4",
        blocks=blocks,
        name=f"{name}_blocks",
        scales=scales,
        scales_name=f"{name}_scales",
    )
    return Found(name, tensor, [f"{name}_blocks", f"{name}_scales"])


@dataclass(frozen=True)
class _Matrix(Dequantised):
    packed: TensorReader
    name: str
    scales: Grid
    factor: float
    divide: bool

    def rows(self, start: int, stop: int) -> Float32Array:
        scales = self.kept.get(self._load)
        codes = unpack_nibbles(self.packed.read_stored(self.name, start, stop).view(np.uint8))
        values: Float32Array = FP4[codes]
        return values * self.scales.spread(scales, start, stop, self.shape[1])

    def _load(self) -> Float32Array:
        scales, factor = self.scales.load(), np.float32(self.factor)
        by: Float32Array = scales / factor if self.divide else scales * factor
        return by


def _matrix(
    tensors: Mapping[str, TensorReader], name: str, packed_name: str, common: str, *, divide: bool
) -> Found:
    what = f"the 4-bit weight {name!r}"
    packed = require(tensors, packed_name, {"U8"}, what)
    stored = packed.info(packed_name).shape
    if len(stored) != 2 or 0 in stored:
        raise ConversionError(f"{packed.path}: {packed_name!r} is not a packed matrix")
    shape = (stored[0], 2 * stored[1])
    scales = scales_of(tensors, f"{name}_scale", shape)
    used, factor = [packed_name, f"{name}_scale"], 1.0
    if common in tensors:
        used.append(common)
        found = require(tensors, common, {"F32"}, what)
        if found.info(common).n_elements == 1:
            factor = values_of(found, common).reshape(-1).item(0)
        else:
            factor = 0.0
        if not math.isfinite(factor) or not factor:
            raise ConversionError(f"{packed.path}: {common!r} is not one number other than 0")
    tensor = _Matrix(
        path=packed.path,
        shape=shape,
        dtype="BF16",
        method="nvfp4" if common in tensors else "mxfp4",
        packed=packed,
        name=packed_name,
        scales=scales,
        factor=factor,
        divide=divide,
    )
    return Found(name, tensor, used)

"""A tensor that is stored in small integers and read as floats."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from ....errors import ConversionError
from ...safetensors import Array, Float32Array, TensorInfo, to_bfloat16, to_float32
from ..tensors import TensorReader

__all__ = ["BLOCK_ELEMENTS", "Dequantised", "Found", "Kept", "require", "values_of"]

BLOCK_ELEMENTS = 1 << 18
"""Elements that are dequantised at a time: 1 MB of float32."""

_SIZES = {"F32": 4, "F16": 2, "BF16": 2}

_Value = TypeVar("_Value")


class Found(NamedTuple):
    """A tensor that is presented as floats under ``name``, instead of the stored ones ``used``."""

    name: str
    tensor: Dequantised
    used: Collection[str]


class Kept(Generic[_Value]):
    """A value that is loaded at its first use and dropped after the last rows."""

    def __init__(self) -> None:
        self._value: _Value | None = None

    def get(self, load: Callable[[], _Value]) -> _Value:
        if self._value is None:
            self._value = load()
        return self._value

    def drop(self) -> None:
        self._value = None


@dataclass(frozen=True)
class Dequantised(ABC):
    """A tensor of the type ``dtype``: F32, F16 or BF16, the type that the reference computes in.

    ``method`` names the format. ``rows`` computes in float32; the results are rounded to
    ``dtype``. What it has to read as a whole, such as scales, is ``kept`` from the first rows to
    the last, so only one tensor's is in memory.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: str
    method: str
    kept: Kept[Any] = field(default_factory=Kept, repr=False, compare=False, kw_only=True)

    @abstractmethod
    def rows(self, start: int, stop: int) -> Float32Array:
        """Rows ``start:stop`` of the first dimension."""

    def info(self, _name: str, /) -> TensorInfo:
        return TensorInfo(self.dtype, self.shape, 0, math.prod(self.shape) * _SIZES[self.dtype])

    def read_stored(self, _name: str, /, start: int = 0, stop: int | None = None) -> Array:
        """Rows ``start:stop``, rounded to ``dtype``: BF16 as uint16."""
        stop = self.shape[0] if stop is None else stop
        stored = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}[self.dtype]
        found = np.empty((stop - start, *self.shape[1:]), stored)
        step = max(1, BLOCK_ELEMENTS // max(1, math.prod(self.shape[1:])))
        for at in range(start, stop, step):
            end = min(at + step, stop)
            # Damaged scales; who reads the values checks them.
            with np.errstate(over="ignore", invalid="ignore"):
                found[at - start : end - start] = self._rounded(self.rows(at, end))
        if stop == self.shape[0]:
            self.kept.drop()
        return found

    def read_float32(self, name: str, /) -> Float32Array:
        """The whole tensor as float32. Raises ConversionError for NaN and infinity."""
        values = to_float32(self.read_stored(name), self.dtype)
        if not np.isfinite(values).all():
            raise ConversionError(f"{self.path}: tensor {name!r} has NaN or infinity")
        return values

    def _rounded(self, values: Float32Array) -> Array:
        if self.dtype == "BF16":
            return to_bfloat16(values)
        return values.astype(np.float16) if self.dtype == "F16" else values


def values_of(tensor: TensorReader, name: str) -> Float32Array:
    """A small tensor of floats, such as scales, as float32."""
    return to_float32(tensor.read_stored(name), tensor.info(name).dtype)


def require(
    tensors: Mapping[str, TensorReader], name: str, dtypes: Collection[str], what: str
) -> TensorReader:
    """The tensor ``name``, one of ``dtypes``. Raises ConversionError if ``what`` lacks it."""
    tensor = tensors.get(name)
    if tensor is None:
        raise ConversionError(
            f"{what} has no tensor {name!r}: the checkpoint is incomplete, or in another packing"
        )
    dtype = tensor.info(name).dtype
    if dtype not in dtypes:
        raise ConversionError(
            f"{tensor.path}: tensor {name!r} is {dtype}, expected {' or '.join(sorted(dtypes))}"
        )
    return tensor

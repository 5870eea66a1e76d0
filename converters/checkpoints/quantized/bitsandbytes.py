"""Weights that bitsandbytes quantised: 4 bits (NF4, FP4) and 8 bits (LLM.int8()).

Four bits: each block of a weight's elements, 64 in most files, has an absolute maximum, by which
the values of a table of 16 are multiplied. With double quantisation the maxima are bytes that
stand for values of a second table, with maxima of their own and a common offset.

Eight bits: each row has a scale, ``SCB``; a weight is ``value * SCB / 127``.

Source: ``QuantState`` in functional.py and ``int8_vectorwise_dequant`` of bitsandbytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....errors import ConversionError
from ...json_file import parse_json
from ...safetensors import FLOATS, Float32Array, to_float32
from ..tensors import TensorReader
from .settings import QuantizationSettings
from .tensor import Dequantised, Found, require, values_of

__all__ = ["find"]

_STATE = ".quant_state.bitsandbytes__"

MAX_STATE_BYTES = 4096
"""Limit of the JSON that describes a weight; real ones take 200 bytes."""

_DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def find(tensors: Mapping[str, TensorReader], _settings: QuantizationSettings) -> Iterator[Found]:
    """The weights of both kinds. Raises ConversionError for a damaged one."""
    described = {name.partition(_STATE)[0] for name in tensors if _STATE in name}
    for name in tensors:
        if _STATE in name:
            weight, _, kind = name.partition(_STATE)
            yield _four_bit(tensors, weight, name, kind)
        elif name.endswith(".SCB"):
            yield _eight_bit(tensors, name.removesuffix(".SCB"))
        elif name.endswith(".weight.absmax") and name.removesuffix(".absmax") not in described:
            raise ConversionError(
                f"{tensors[name].path}: {name!r} belongs to a weight of 4 bits whose quant_state "
                "is missing"
            )


# --- 4 bits --------------------------------------------------------------------------


@dataclass(frozen=True)
class _FourBit(Dequantised):
    """A weight as bytes, the first of two elements in the upper four bits."""

    packed: TensorReader
    name: str
    table: Float32Array
    maxima: _Maxima
    block: int

    def rows(self, start: int, stop: int) -> Float32Array:
        width = math.prod(self.shape[1:])
        first, last = start * width, stop * width
        codes = _bytes_of(self.packed, self.name, first // 2, -(-last // 2))
        pairs = self.kept.get(self._pairs)[codes].reshape(-1)
        values: Float32Array = pairs[first % 2 : first % 2 + last - first]
        begin, end = first // self.block, -(-last // self.block)
        maxima = self.maxima.read(begin, end)
        if first == begin * self.block and last == end * self.block:
            values = values.reshape(-1, self.block) * maxima[:, None]
        else:
            values = values * maxima[np.arange(first, last) // self.block - begin]
        return values.reshape(stop - start, *self.shape[1:])

    def _pairs(self) -> Float32Array:
        """The two values that each byte stands for, (256, 2)."""
        codes = np.arange(256)
        return np.stack([self.table[codes >> 4], self.table[codes & 15]], axis=1)


@dataclass(frozen=True)
class _Maxima:
    """The absolute maxima of the blocks. With ``table`` they are quantised themselves."""

    stored: TensorReader
    name: str
    table: Float32Array | None = None
    maxima: Float32Array | None = None
    block: int = 1
    offset: float = 0.0

    def read(self, start: int, stop: int) -> Float32Array:
        found = self.stored.read_stored(self.name, start, stop)
        if self.table is None or self.maxima is None:
            return to_float32(found, self.stored.info(self.name).dtype)
        places = np.arange(start, stop) // self.block
        values: Float32Array = self.table[found.astype(np.intp)] * self.maxima[places]
        values += np.float32(self.offset)
        return values


def _four_bit(
    tensors: Mapping[str, TensorReader], weight: str, state_name: str, kind: str
) -> Found:
    what = f"the 4-bit weight {weight!r}"
    packed = require(tensors, weight, {"U8", "I8", *FLOATS}, what)
    state = _state(require(tensors, state_name, {"U8"}, what), state_name)
    shape, block = _shape(state, packed, weight), _size(state, "blocksize", packed)
    n = math.prod(shape)
    info = packed.info(weight)
    if info.end - info.begin != -(-n // 2):
        raise ConversionError(
            f"{packed.path}: {weight!r} has {info.end - info.begin} bytes; {list(shape)} weights "
            f"of 4 bits take {-(-n // 2)}"
        )
    used = [weight, state_name, f"{weight}.absmax", f"{weight}.quant_map"]
    table = _table(tensors, f"{weight}.quant_map", 16, what)
    maxima = require(tensors, f"{weight}.absmax", {"U8", *FLOATS}, what)
    n_blocks = -(-n // block)
    _check_length(maxima, f"{weight}.absmax", n_blocks)
    if maxima.info(f"{weight}.absmax").dtype != "U8":
        read = _Maxima(maxima, f"{weight}.absmax")
    else:
        used += [f"{weight}.nested_absmax", f"{weight}.nested_quant_map"]
        nested = require(tensors, f"{weight}.nested_absmax", {"F32"}, what)
        nested_block = _size(state, "nested_blocksize", packed)
        _check_length(nested, f"{weight}.nested_absmax", -(-n_blocks // nested_block))
        offset = state.get("nested_offset")
        if not isinstance(offset, float) or not math.isfinite(offset):
            raise ConversionError(f"{packed.path}: {weight!r}: nested_offset is {offset!r:.50}")
        read = _Maxima(
            maxima,
            f"{weight}.absmax",
            _table(tensors, f"{weight}.nested_quant_map", 256, what),
            values_of(nested, f"{weight}.nested_absmax"),
            nested_block,
            offset,
        )
    dtype = _DTYPES.get(str(state.get("dtype")))
    if dtype is None:
        raise ConversionError(
            f"{packed.path}: {weight!r}: unknown dtype {state.get('dtype')!r:.50}"
        )
    tensor = _FourBit(
        path=packed.path,
        shape=shape,
        dtype=dtype,
        method=kind if kind in ("nf4", "fp4") else "4 bits",
        packed=packed,
        name=weight,
        table=table,
        maxima=read,
        block=block,
    )
    return Found(weight, tensor, used)


def _state(tensor: TensorReader, name: str) -> Mapping[str, Any]:
    if (size := tensor.info(name).n_elements) > MAX_STATE_BYTES:
        raise ConversionError(f"{tensor.path}: {name!r} has {size} bytes of settings")
    try:
        state = parse_json(tensor.read_stored(name).tobytes())
    except ValueError as error:
        raise ConversionError(f"{tensor.path}: {name!r} is not JSON: {error}") from None
    if not isinstance(state, dict):
        raise ConversionError(f"{tensor.path}: {name!r} is not an object")
    return state


def _shape(state: Mapping[str, Any], packed: TensorReader, weight: str) -> tuple[int, ...]:
    shape = state.get("shape")
    if (
        not isinstance(shape, list)
        or not 1 <= len(shape) <= 4
        or not all(type(n) is int and 0 < n < 1 << 31 for n in shape)
    ):
        raise ConversionError(f"{packed.path}: {weight!r}: the shape is {shape!r:.50}")
    return tuple(shape)


def _size(state: Mapping[str, Any], name: str, packed: TensorReader) -> int:
    value = state.get(name)
    if type(value) is not int or not 0 < value <= 1 << 20:
        raise ConversionError(f"{packed.path}: {name} of a 4-bit weight is {value!r:.50}")
    return value


def _table(tensors: Mapping[str, TensorReader], name: str, length: int, what: str) -> Float32Array:
    tensor = require(tensors, name, FLOATS, what)
    _check_length(tensor, name, length)
    return values_of(tensor, name)


def _check_length(tensor: TensorReader, name: str, length: int) -> None:
    shape = tensor.info(name).shape
    if shape != (length,):
        raise ConversionError(
            f"{tensor.path}: {name!r} has the shape {list(shape)}, expected [{length}]"
        )


def _bytes_of(tensor: TensorReader, name: str, start: int, stop: int) -> npt.NDArray[np.uint8]:
    """Bytes ``start:stop`` of a tensor of any type: training tools store them as floats, too."""
    info = tensor.info(name)
    rows = max(1, info.shape[0]) if info.shape else 1
    size = (info.end - info.begin) // rows
    first, last = start // size, -(-stop // size)
    found = np.ascontiguousarray(tensor.read_stored(name, first, last)).reshape(-1)
    return found.view(np.uint8)[start - first * size : stop - first * size]


# --- 8 bits --------------------------------------------------------------------------


@dataclass(frozen=True)
class _EightBit(Dequantised):
    stored: TensorReader
    name: str
    scales: Float32Array

    def rows(self, start: int, stop: int) -> Float32Array:
        values = self.stored.read_stored(self.name, start, stop).astype(np.float32)
        values *= self.scales[start:stop, None]
        values *= np.float32(1 / 127)
        return values


def _eight_bit(tensors: Mapping[str, TensorReader], module: str) -> Found:
    weight, what = f"{module}.weight", f"the 8-bit module {module!r}"
    stored = require(tensors, weight, {"I8"}, what)
    scales = require(tensors, f"{module}.SCB", FLOATS, what)
    shape = stored.info(weight).shape
    if len(shape) != 2 or scales.info(f"{module}.SCB").shape != shape[:1]:
        raise ConversionError(
            f"{stored.path}: {weight!r} has the shape {list(shape)}, its scales "
            f"{list(scales.info(f'{module}.SCB').shape)}"
        )
    used = [weight, f"{module}.SCB"]
    layout = f"{module}.weight_format"
    if layout in tensors:
        used.append(layout)
        number = tensors[layout].read_stored(layout).reshape(-1)[:1]
        if number.size and int(number[0]) != 0:
            raise ConversionError(
                f"{tensors[layout].path}: {weight!r} is stored for one kind of GPU "
                f"(weight_format {int(number[0])})\nSave it again with bitsandbytes 0.45 or newer."
            )
    tensor = _EightBit(
        path=stored.path,
        shape=shape,
        dtype="F32",
        method="int8 (bitsandbytes)",
        stored=stored,
        name=weight,
        scales=values_of(scales, f"{module}.SCB"),
    )
    return Found(weight, tensor, used)

"""Tensors that are several tensors of the checkpoint, padded with zeros, or nothing but zeros.

GGUF stores the matrices of all experts of a layer as one tensor.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import ConversionError
from ..architectures import TensorName
from ..architectures.text_part import text_names
from ..checkpoints.tensors import Checkpoint, TensorReader
from ..safetensors import Array, Float32Array, TensorInfo, to_float32
from .config import ModelConfig

__all__ = ["with_derived"]


@dataclass(frozen=True)
class _Stacked:
    """Tensors of the same shape as one tensor, in whose first dimension they stand."""

    names: Sequence[str]
    readers: Sequence[TensorReader]

    @property
    def path(self) -> Path:
        return self.readers[0].path

    def info(self, _name: str, /) -> TensorInfo:
        first = self.readers[0].info(self.names[0])
        for name, reader in zip(self.names, self.readers, strict=True):
            other = reader.info(name)
            if (other.dtype, other.shape) != (first.dtype, first.shape):
                raise ConversionError(
                    f"{reader.path}: {name!r} is {other.dtype} {list(other.shape)}, "
                    f"{self.names[0]!r} {first.dtype} {list(first.shape)}"
                )
        n_bytes = len(self.names) * (first.end - first.begin)
        return TensorInfo(first.dtype, (len(self.names), *first.shape), 0, n_bytes)

    def read_stored(self, _name: str, /, start: int = 0, stop: int | None = None) -> Array:
        chosen = range(start, len(self.names) if stop is None else stop)
        return np.stack([self.readers[i].read_stored(self.names[i]) for i in chosen])

    def read_float32(self, _name: str, /) -> Float32Array:
        return np.stack(
            [r.read_float32(name) for name, r in zip(self.names, self.readers, strict=True)]
        )


@dataclass(frozen=True)
class _Padded:
    """A tensor with zeros behind its rows, ``n_rows`` in all."""

    name: str
    reader: TensorReader
    n_rows: int

    @property
    def path(self) -> Path:
        return self.reader.path

    def info(self, _name: str, /) -> TensorInfo:
        inner = self.reader.info(self.name)
        shape = (self.n_rows, *inner.shape[1:])
        width = (inner.end - inner.begin) // max(1, math.prod(inner.shape))
        return TensorInfo(inner.dtype, shape, 0, width * math.prod(shape))

    def read_stored(self, _name: str, /, start: int = 0, stop: int | None = None) -> Array:
        stop = self.n_rows if stop is None else stop
        n_held = self.reader.info(self.name).shape[0]
        held = self.reader.read_stored(self.name, min(start, n_held), min(stop, n_held))
        zeros = np.zeros((stop - start - len(held), *held.shape[1:]), held.dtype)
        return np.concatenate([held, zeros])

    def read_float32(self, _name: str, /) -> Float32Array:
        return to_float32(self.read_stored(self.name), self.info(self.name).dtype)


@dataclass(frozen=True)
class _Zeros:
    """A tensor that nothing is computed with, of the type of another one."""

    like: TensorReader
    name: str
    shape: tuple[int, ...]

    @property
    def path(self) -> Path:
        return self.like.path

    def info(self, _name: str, /) -> TensorInfo:
        dtype = self.like.info(self.name).dtype
        return TensorInfo(dtype, self.shape, 0, 0)

    def read_stored(self, _name: str, /, start: int = 0, stop: int | None = None) -> Array:
        stop = self.shape[0] if stop is None else stop
        kind = self.like.read_stored(self.name, 0, 1).dtype
        return np.zeros((stop - start, *self.shape[1:]), kind)

    def read_float32(self, _name: str, /) -> Float32Array:
        return np.zeros(self.shape, np.float32)


def with_derived(config: ModelConfig, checkpoint: Checkpoint) -> Checkpoint:
    """``checkpoint`` with the stacked and padded tensors of the architecture's tables.

    The single ones are left out. Raises ConversionError if one is missing or has another shape.
    """
    architecture = config.architecture
    if not (architecture.stacks or architecture.padded or architecture.unused):
        return checkpoint
    shapes = architecture.shapes(config.sizes)
    tensors = dict(checkpoint.tensors)
    names = text_names(tensors) if config.is_text_part else {name: name for name in tensors}
    for tensor in architecture.tensors(config.kinds, config.biased, config.without):
        module = tensor.place.module
        if (size := architecture.stacks.get(module)) is not None:
            parts = [tensor.source.replace("*", str(i)) for i in range(config.sizes[size])]
            missing = next((part for part in parts if part not in names), None)
            if missing is not None:
                raise ConversionError(f"{config.path.parent}: tensor {missing!r} is missing")
            stored = [names[part] for part in parts]
            tensors[tensor.source] = _Stacked(stored, [tensors.pop(name) for name in stored])
            tensors[tensor.source].info(tensor.source)
        elif module in architecture.padded and (stored_name := names.get(tensor.source)):
            reader = tensors[stored_name]
            n_rows = config.sizes["vocab"]
            if 0 < reader.info(stored_name).shape[0] < n_rows:
                tensors[stored_name] = _Padded(stored_name, reader, n_rows)
        elif tensor.source not in names and _is_unused(tensor.place, architecture.unused):
            like = names.get(tensor.source.replace(f".{tensor.place.layer}.", ".0."), "")
            if like in tensors:
                tensors[tensor.source] = _Zeros(tensors[like], like, shapes[module])
    return dataclasses.replace(checkpoint, tensors=tensors)


def _is_unused(place: TensorName, unused: Mapping[str, int]) -> bool:
    first = unused.get(place.module)
    return first is not None and place.layer is not None and place.layer >= first

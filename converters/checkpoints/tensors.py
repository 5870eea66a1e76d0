"""The tensors of a checkpoint by the names that Transformers gives them, and how each is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..safetensors import Array, Float32Array, TensorInfo

__all__ = ["Checkpoint", "Renamed", "TensorReader"]


class TensorReader(Protocol):
    """Where a tensor of a checkpoint is read.

    A `SafetensorsFile` is one. Other readers hold a single tensor, so the ``name`` that they are
    asked for is its name in the checkpoint.
    """

    @property
    def path(self) -> Path:
        """The file that holds the tensor."""

    def info(self, name: str, /) -> TensorInfo:
        """The tensor's type and shape."""

    def read_stored(self, name: str, /, start: int = 0, stop: int | None = None) -> Array:
        """Rows ``start:stop`` of the first dimension, as the file stores them: BF16 as uint16."""

    def read_float32(self, name: str, /) -> Float32Array:
        """The whole tensor as float32. Raises ConversionError for integers and booleans."""


@dataclass(frozen=True)
class Renamed:
    """A tensor that ``file`` holds under another name, ``stored_name``."""

    file: TensorReader
    stored_name: str

    @property
    def path(self) -> Path:
        return self.file.path

    def info(self, _name: str, /) -> TensorInfo:
        return self.file.info(self.stored_name)

    def read_stored(self, _name: str, /, start: int = 0, stop: int | None = None) -> Array:
        return self.file.read_stored(self.stored_name, start, stop)

    def read_float32(self, _name: str, /) -> Float32Array:
        return self.file.read_float32(self.stored_name)


@dataclass(frozen=True)
class Checkpoint(Mapping[str, TensorReader]):
    """The tensors of a checkpoint by name.

    ``quantization`` names the formats that tensors are dequantised from, such as ``nf4``; empty
    for floats. ``notes`` say what the folder holds that a reader would not expect.
    """

    tensors: Mapping[str, TensorReader]
    quantization: str = ""
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> TensorReader:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

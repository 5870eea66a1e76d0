"""Reads a base's weights in float32, from safetensors or from a GGUF file.

Merging needs the float weights that the adapter was trained on. A quantised GGUF file returns them
only as exactly as its grid allows. Every result records which of the two was used.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np

from ...errors import ConversionError
from ..architectures.text_part import text_names
from ..checkpoints.opening import open_checkpoint
from ..checkpoints.tensors import Checkpoint
from ..gguf.header import GGUFHeader, GGUFTensor, read_gguf_header
from ..safetensors import Float32Array
from .targets import Target

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FLOAT_TYPES", "GGUFWeights", "WeightSource", "checkpoint_weights", "gguf_weights"]

_TIED = {
    "lm_head.weight": "model.embed_tokens.weight",
    "model.embed_tokens.weight": "lm_head.weight",
}
"""Where a checkpoint has a tensor whose name it lacks: the two are tied."""

FLOAT_TYPES = frozenset({"F32", "F16", "BF16"})
"""GGUF types that hold floats, with no loss to a grid."""


class WeightSource(Protocol):
    """Weights of a base.

    ``is_float`` says whether they were never quantised. ``origin`` names them in reports.
    """

    @property
    def is_float(self) -> bool: ...

    @property
    def origin(self) -> str: ...

    def read(self, target: Target) -> Float32Array:
        """The tensor of ``target``, with rows in Transformers' order; zeros for a missing bias."""

    def holds(self, target: Target) -> bool:
        """Whether the tensor of ``target`` is there under its own name."""


class _CheckpointWeights:
    is_float = True

    def __init__(self, folder: Path, tensors: Checkpoint) -> None:
        self.origin = f"float weights of {folder.name}"
        if tensors.quantization:
            self.origin = f"weights of {folder.name} dequantised from {tensors.quantization}"
        self._folder = folder
        self._tensors = tensors
        self._stored = text_names(tensors)

    def _name(self, target: Target) -> str:
        """Transformers' name, with a number for the star of one in a stack."""
        name = target.hf_name.replace("*", "0")
        if name not in self._stored and not name.startswith(("model.", "lm_head")):
            name = f"model.{name}"
        if name not in self._stored and name in _TIED:
            name = _TIED[name]
        return name

    def holds(self, target: Target) -> bool:
        return self._name(target) in self._stored

    def read(self, target: Target) -> Float32Array:
        if "*" in target.hf_name:
            return self._stack(target)
        name = self._name(target)
        if name not in self._stored:
            if not target.exists:
                return np.zeros(target.shape, np.float32)
            raise ConversionError(f"{self._folder}: tensor {name!r} is missing")
        name = self._stored[name]
        values = self._tensors[name].read_float32(name)
        if target.part is not None and len(values) == target.part[2]:
            values = values[target.part[0] : target.part[1]]
        if target.reshaped and values.size == math.prod(target.shape):
            values = values.reshape(target.shape)
        if values.shape != target.shape:
            raise ConversionError(
                f"{self._folder}: {name!r} has shape {list(values.shape)}, "
                f"the base's {target.gguf_name} {list(target.shape)}\n"
                "The float weights must be those that the base was converted from: give their "
                "folder with float_weights=FOLDER (--float-weights FOLDER)."
            )
        return values

    def _stack(self, target: Target) -> Float32Array:
        """The matrices of all experts, which GGUF has in one tensor."""
        single = replace(target, shape=target.shape[1:])
        names = [target.hf_name.replace("*", str(i)) for i in range(target.shape[0])]
        return np.stack([self.read(replace(single, hf_name=name)) for name in names])


class GGUFWeights:
    """Reads the tensors of GGUF files as float32. ``files`` keeps them open."""

    def __init__(self, header: GGUFHeader, files: ExitStack) -> None:
        self.header = header
        self._files = files
        self._open: dict[Path, BinaryIO] = {}
        types = {t.type_name for t in header.tensors.values() if len(t.shape) > 1}
        self.is_float = types <= FLOAT_TYPES
        kinds = "/".join(sorted(types - FLOAT_TYPES)) or "float"
        self.origin = f"{kinds} weights of {header.path.name}"

    def holds(self, _target: Target) -> bool:
        return True

    def read(self, target: Target) -> Float32Array:
        tensor = self.header.tensors.get(target.gguf_name)
        if tensor is None and target.module == "lm_head":
            tensor = self.header.tensors["token_embd.weight"]
        if tensor is None:
            return np.zeros(target.shape, np.float32)
        return target.loaded(self.read_tensor(tensor))

    def read_tensor(self, tensor: GGUFTensor) -> Float32Array:
        """A tensor as float32, in the file's row order. Raises ConversionError for NaN."""
        path, offset = self.header.place_of(tensor.name)
        if path not in self._open:
            self._open[path] = self._files.enter_context(path.open("rb"))
        n_bytes, file = tensor.n_bytes, self._open[path]
        file.seek(offset)
        data = np.frombuffer(file.read(n_bytes), np.uint8)
        if data.size != n_bytes:
            raise ConversionError(f"{self.header.path}: {tensor.name} is cut off")
        values = self._float32(tensor, data)
        if not np.isfinite(values).all():
            raise ConversionError(f"{self.header.path}: {tensor.name} has NaN or infinity")
        return values.reshape(tensor.shape)

    def _float32(self, tensor: GGUFTensor, data: NDArray[np.uint8]) -> Float32Array:
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize

        if tensor.type_name == "F32":
            return data.view(np.float32)
        rows = data.reshape(*tensor.shape[:-1], -1)
        try:
            with np.errstate(invalid="ignore", over="ignore"):
                values = dequantize(rows, GGMLQuantizationType[tensor.type_name])
        except NotImplementedError as error:
            raise ConversionError(
                f"{self.header.path}: {tensor.name} is {tensor.type_name}, which cannot be read "
                "as numbers here"
            ) from error
        found: Float32Array = values.astype(np.float32, copy=False)
        return found


@contextmanager
def checkpoint_weights(folder: Path) -> Iterator[WeightSource]:
    """The weights in the safetensors of a Hugging Face folder."""
    with open_checkpoint(folder) as tensors:
        yield _CheckpointWeights(folder, tensors)


@contextmanager
def gguf_weights(path: Path, *, part: bool = False) -> Iterator[GGUFWeights]:
    """The dequantised weights of a GGUF file. With ``part`` it is one file of a split model."""
    header = read_gguf_header(path, part=part)
    with ExitStack() as files:
        yield GGUFWeights(header, files)

"""Writes the exact change of any adapter as a GGUF LoRA of full rank.

The other forms are compared with this reference. One factor is the change itself and the other an
identity, so nothing is lost to a decomposition. The file is larger than the tensors
that it changes and never serves answers. With it, a quantised base computes its own products
exactly as it does alone, so any difference of answers comes from the adapter.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..gguf.header import GGUFHeader
from ..gguf.split import PartTensor, text_value, write_gguf
from ..peft.updates import Update
from ..safetensors import Float32Array
from .merging import merged, updates_by_tensor
from .targets import Target
from .weights import WeightSource

__all__ = ["exact_lora_bytes", "write_exact_lora"]

_FLOAT32 = 6
"""GGUF's number for a value of this type."""


def exact_lora_bytes(updates: Sequence[tuple[Target, Update]]) -> int:
    """Bytes of the tensors that `write_exact_lora` writes."""
    shapes = {target.gguf_name: target.shape for target, _ in updates}
    return sum(4 * min(shape) * sum(shape) for shape in shapes.values())


def write_exact_lora(
    updates: Sequence[tuple[Target, Update]],
    base: GGUFHeader,
    source: WeightSource,
    out: Path,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write the change that ``updates`` make to the weights of ``source``, as F32.

    All targets must be matrices that a LoRA can change. Only one weight at a time is in memory.
    ``progress`` is called with the bytes written so far and their total.
    """
    steps = updates_by_tensor(updates)
    total, done = exact_lora_bytes(updates), 0

    def report(n_bytes: int) -> None:
        nonlocal done
        done += n_bytes
        if progress is not None:
            progress(done, total)

    tensors = []
    for name, (target, changes) in steps.items():
        change = _Change(target, changes, source)
        for side, shape in change.shapes.items():
            write = _Factor(change, side, report)
            n_bytes = 4 * shape[0] * shape[1]
            tensors.append(PartTensor(f"{name}.lora_{side}", shape, "F32", n_bytes, write))
    keys = {
        "general.type": text_value("adapter"),
        "general.architecture": text_value(base.architecture),
        "adapter.type": text_value("lora"),
        "adapter.lora.alpha": (_FLOAT32, struct.pack("<f", 0.0)),
    }
    write_gguf(out, keys, tensors)


@dataclass(frozen=True)
class _Change:
    """The change of one tensor as ``b @ a``, transposed for an embedding, which is looked up."""

    target: Target
    updates: Sequence[Update]
    source: WeightSource

    @property
    def is_embedding(self) -> bool:
        return self.target.module == "embed_tokens"

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """The shapes in the file. llama.cpp stores A of an embedding transposed."""
        n_out, n_in = self.target.shape[::-1] if self.is_embedding else self.target.shape
        rank = min(n_out, n_in)
        return {"a": (n_in, rank) if self.is_embedding else (rank, n_in), "b": (n_out, rank)}

    def factor(self, side: str) -> Float32Array:
        change = merged(self.target, self.updates, self.source) - self.source.read(self.target)
        if self.is_embedding:
            change = np.ascontiguousarray(change.T)
        n_out, n_in = change.shape
        if side == "a":
            a = change if n_out <= n_in else np.eye(n_in, dtype=np.float32)
            return (
                np.ascontiguousarray(a.T) if self.is_embedding else self.target.columns_to_gguf(a)
            )
        b = np.eye(n_out, dtype=np.float32) if n_out <= n_in else change
        if self.is_embedding:
            return b
        ordered: Float32Array = self.target.to_gguf(b)
        return ordered


@dataclass(frozen=True)
class _Factor:
    change: _Change
    side: str
    report: Callable[[int], None]

    def __call__(self, file: BinaryIO) -> None:
        values = np.ascontiguousarray(self.change.factor(self.side), dtype=np.float32)
        file.write(values.data)
        self.report(values.nbytes)

"""Fits adapters across projections that one model keeps apart and another has fused.

Phi-3 has one matrix for query, key and value, and one for gate and up; Llama has five. The same
model is published both ways, and adapters are trained on either. The rows of the fused matrix are
those of its parts, one below the other, so an update of rows can be moved from one to the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from ...errors import ConversionError
from ..architectures import Architecture
from ..gguf.header import GGUFHeader
from ..peft.updates import Chained, LowRank, Sizes, Update
from ..safetensors import Float32Array

__all__ = ["FUSED", "OnRows", "combined", "part_rows", "parts_of"]

FUSED: Mapping[str, tuple[str, ...]] = {
    "self_attn.qkv_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
}
"""The parts of each fused module, in the order of their rows."""


def parts_of(module: str, architecture: Architecture) -> tuple[str, ...]:
    """The names of the parts of a fused ``module``, if ``architecture`` has them apart."""
    for fused, parts in FUSED.items():
        if module.endswith(f".{fused}") and not architecture.tensor_names(module):
            stem = module.removesuffix(fused)
            return tuple(stem + part for part in parts)
    return ()


def part_rows(
    module: str, architecture: Architecture, base: GGUFHeader
) -> tuple[str, int, int] | None:
    """The fused module of ``architecture`` that has ``module`` inside, and its first and last row.

    None if there is none. Raises ConversionError if the base does not say how many rows it has.
    """
    for fused, parts in FUSED.items():
        part = next((part for part in parts if module.endswith(f".{part}")), None)
        if part is None or architecture.tensor_names(module):
            continue
        whole = module.removesuffix(part) + fused
        places = architecture.tensor_names(whole)
        tensor = base.tensors.get(f"{places[0].gguf}.weight") if len(places) == 1 else None
        if tensor is None:
            return None
        sizes = _sizes(fused, tensor.shape[0], base)
        start = sum(sizes[: parts.index(part)])
        return whole, start, start + sizes[parts.index(part)]
    return None


def _sizes(fused: str, n_rows: int, base: GGUFHeader) -> list[int]:
    """The rows of each part of a fused module with ``n_rows`` rows."""
    if fused == "mlp.gate_up_proj":
        return [n_rows // 2, n_rows // 2]
    heads = base.hyper_parameter("attention.head_count")
    kv_heads = base.hyper_parameter("attention.head_count_kv")
    if not heads or not kv_heads or n_rows % (heads + 2 * kv_heads):
        raise ConversionError(f"{n_rows} rows cannot be {heads} heads and {kv_heads} pairs of them")
    size = n_rows // (heads + 2 * kv_heads)
    return [heads * size, kv_heads * size, kv_heads * size]


@dataclass(frozen=True)
class OnRows(Update):
    """An ``update`` of the rows ``start`` to ``stop`` of a tensor with ``n_rows`` rows."""

    update: Update
    start: int
    stop: int
    n_rows: int

    def _part(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self.stop - self.start, *shape[1:])

    def problem(self, shape: tuple[int, ...]) -> str:
        return self.update.problem(self._part(shape))

    def fitted(self, shape: tuple[int, ...], sizes: Sizes) -> OnRows:
        return replace(self, update=self.update.fitted(self._part(shape), sizes))

    @property
    def is_low_rank(self) -> bool:  # type: ignore[override]
        return self.update.is_low_rank

    @property
    def rank(self) -> int | None:
        return self.update.rank

    def low_rank(self) -> LowRank | None:
        pair = self.update.low_rank()
        if pair is None:
            return None
        b = np.zeros((self.n_rows, pair.rank), np.float32)
        b[self.start : self.stop] = pair.b
        return LowRank(pair.a, b, pair.scale)

    def apply(self, weight: Float32Array) -> Float32Array:
        changed: Float32Array = weight.copy()
        changed[self.start : self.stop] = self.update.apply(weight[self.start : self.stop])
        return changed


def combined(updates: list[Update]) -> Update:
    """Several updates of one tensor as one, in their order. Low-rank ones become one LoRA."""
    if len(updates) > 1 and all(update.is_low_rank for update in updates):
        return _Stacked(tuple(updates))
    return reduce(Chained, updates)


@dataclass(frozen=True)
class _Stacked(Update):
    """Low-rank ``updates`` of one tensor, which is their sum."""

    updates: tuple[Update, ...]

    is_low_rank = True

    @property
    def rank(self) -> int:
        return sum(update.rank or 0 for update in self.updates)

    def low_rank(self) -> LowRank:
        pairs = [pair for update in self.updates if (pair := update.low_rank())]
        a = np.concatenate([pair.a for pair in pairs])
        b = np.concatenate([pair.b * np.float32(pair.scale) for pair in pairs], axis=1)
        return LowRank(a, b, 1.0, pairs[0].is_embedding)

    def apply(self, weight: Float32Array) -> Float32Array:
        for update in self.updates:
            weight = update.apply(weight)
        return weight

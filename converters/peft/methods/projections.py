"""VeRA, RandLoRA and VB-LoRA: low-rank changes made of what all modules share.

Source: ``tuners/vera``, ``tuners/randlora`` and ``tuners/vblora`` of PEFT 0.21.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ....errors import ConversionError
from ...safetensors import Float32Array
from ..updates import LowRank, Sizes, Update
from .random_numbers import Generator
from .reader import MAX_PRODUCT, WEIGHT, Change, Reader, outline

__all__ = ["randlora", "vblora", "vera"]


# --- VeRA ----------------------------------------------------------------------------


def vera(reader: Reader) -> Iterator[Change]:
    """``W + (λb ∘ B) · (λd ∘ A)``, where all modules share slices of two random matrices."""
    options = reader.config.options
    d, b = reader.need_vector("vera_lambda_d"), reader.need_vector("vera_lambda_b")
    shared = reader.shared("vera_A"), reader.shared("vera_B")
    if any(matrix is None for matrix in shared) and options.flag("save_projection", default=True):
        raise reader.fail("the file has no vera_A and vera_B, which all modules share")
    seed = options.seed("projection_prng_key", 0)
    for name, matrix, axis in zip(("vera_A", "vera_B"), shared, (0, 1), strict=True):
        if matrix is not None and matrix.shape[axis] < len(d):
            raise reader.fail(f"{name} has rank {matrix.shape[axis]}, vera_lambda_d {len(d)}")
    yield Change(WEIGHT, _Vera(d, b, shared[0], shared[1], seed), "VeRA")


@dataclass(frozen=True)
class _Vera(Update):
    """``d`` (rank,), ``b`` (out,). Without ``matrix_a`` both matrices follow from ``seed``.

    ``n_in`` and ``sizes`` are known once it is fitted.
    """

    d: Float32Array
    b: Float32Array
    matrix_a: Float32Array | None
    matrix_b: Float32Array | None
    seed: int
    n_in: int = 0
    sizes: Sizes = (0, 0)

    is_low_rank = True

    @property
    def rank(self) -> int:
        return len(self.d)

    def problem(self, shape: tuple[int, ...]) -> str:
        if len(shape) != 2 or shape[0] != len(self.b):
            return f"{len(self.b)} factors (vera_lambda_b) for a weight of shape {list(shape)}"
        for name, matrix, axis in (("vera_A", self.matrix_a, 1), ("vera_B", self.matrix_b, 0)):
            size = shape[axis]
            if matrix is not None and matrix.shape[axis] < size:
                return f"{name} of shape {list(matrix.shape)} is too small for {list(shape)}"
        return ""

    def fitted(self, shape: tuple[int, ...], sizes: Sizes) -> _Vera:
        if self.matrix_a is None and self.rank * max(sizes) > MAX_PRODUCT:
            raise ConversionError(
                f"projections of rank {self.rank} for {max(sizes)} features are larger than any "
                "adapter needs"
            )
        return replace(self, n_in=shape[1], sizes=sizes)

    def low_rank(self) -> LowRank:
        a, b = self.matrix_a, self.matrix_b
        if a is None or b is None:
            a, b = _drawn(self.seed, self.rank, self.sizes)
        a, b = a[: self.rank, : self.n_in], b[: len(self.b), : self.rank]
        return LowRank(self.d[:, None] * a, self.b[:, None] * b, 1.0)

    def apply(self, weight: Float32Array) -> Float32Array:
        return self.low_rank().apply(weight)


@functools.lru_cache(maxsize=1)
def _drawn(seed: int, rank: int, sizes: Sizes) -> tuple[Float32Array, Float32Array]:
    """VeRA's matrices for the largest of all adapted modules, as PEFT draws them."""
    n_out, n_in = sizes
    generator = Generator(seed)
    a = generator.uniform((rank, n_in), math.sqrt(6 / n_in))
    return a, generator.uniform((n_out, rank), math.sqrt(6 / rank))


# --- RandLoRA ------------------------------------------------------------------------


def randlora(reader: Reader) -> Iterator[Change]:
    """``W`` plus a sum of random bases, each weighted by trained diagonals: a full-rank change."""
    options = reader.config.options
    diagonal, gamma = reader.take_pair("randlora_lambda", "randlora_gamma")
    bases = []
    for name in ("randlora_A", "randlora_B"):
        found = reader.shared(name, n_dims=3)
        if found is not None:
            reader.drop(name)  # PEFT saves it for every module, too
        elif name in reader.roles:
            found = reader.take(name, n_dims=3)
        else:
            raise reader.fail(
                f"the file has no {name}, and such random bases depend on the machine of the "
                "training\nSave the adapter with save_projection=True."
            )
        bases.append(found)
    rank, n_bases = diagonal.shape
    scale = options.number("randlora_alpha", 640) / rank
    reader.check_shape("randlora_gamma", gamma, (n_bases, gamma.shape[1]))
    yield Change(WEIGHT, _RandLora(bases[0], bases[1], diagonal, gamma, scale), "RandLoRA")


@dataclass(frozen=True)
class _RandLora(Update):
    """``bases_a`` (rank, 1, small), ``bases_b`` (large, bases, rank), of which every module uses
    the beginning; ``diagonal`` (rank, bases) and ``gamma`` (bases, small).

    PEFT flattens the factors in different orders, rank first on one side and bases first on the
    other, and trains what it computes; so does `apply`.
    """

    bases_a: Float32Array
    bases_b: Float32Array
    diagonal: Float32Array
    gamma: Float32Array
    scale: float

    def problem(self, shape: tuple[int, ...]) -> str:
        rank, n_bases = self.diagonal.shape
        if len(shape) != 2 or min(shape) != self.gamma.shape[1]:
            return f"randlora_gamma of shape {list(self.gamma.shape)} for a weight {list(shape)}"
        a, b = self.bases_a.shape, self.bases_b.shape
        fits = a[0] == rank and a[1] in (1, n_bases) and a[2] >= min(shape)
        if not fits or b[0] < max(shape) or b[1] < n_bases or b[2] != rank:
            return f"random bases of shapes {list(a)} and {list(b)} for a weight {list(shape)}"
        return ""

    def apply(self, weight: Float32Array) -> Float32Array:
        small, large = min(weight.shape), max(weight.shape)
        rank, n_bases = self.diagonal.shape
        a = self.bases_a[:, :n_bases, :small] * self.diagonal[:, :, None] * self.gamma[None]
        b = self.bases_b[:large, :n_bases, :].reshape(large, n_bases * rank)
        delta = b @ a.reshape(rank * n_bases, small)
        if weight.shape[1] != small:
            delta = delta.T
        changed: Float32Array = weight + np.float32(self.scale) * delta
        return changed


# --- VB-LoRA -------------------------------------------------------------------------


def vblora(reader: Reader) -> Iterator[Change]:
    """LoRA whose A and B are put together from the vectors of a shared bank."""
    bank = reader.shared("vblora_vector_bank")
    if bank is None:
        raise reader.fail("the file has no vblora_vector_bank, which all modules share")
    topk = reader.config.options.rank("topk", 2)
    if topk > bank.shape[0]:
        raise reader.fail(f"topk is {topk}, but the bank has {bank.shape[0]} vectors")
    a, b = (_mixed(reader, f"vblora_logits_{side}", bank, topk) for side in "AB")
    # a: (rank, tiles, length), b: (tiles, rank, length)
    rank = a.shape[0]
    if b.shape[1] != rank:
        raise reader.fail(f"vblora_logits_A has rank {rank}, vblora_logits_B {b.shape[1]}")
    b = b.transpose(0, 2, 1)
    shapes = (rank, a.shape[1] * a.shape[2]), (b.shape[0] * b.shape[1], rank)
    if not reader.keeps:
        a, b = outline(shapes[0]), outline(shapes[1])
    yield Change(WEIGHT, LowRank(a.reshape(shapes[0]), b.reshape(shapes[1]), 1.0), "VB-LoRA")


def _mixed(reader: Reader, role: str, bank: Float32Array, topk: int) -> Float32Array:
    """The mixtures of vectors of ``bank`` that the logits choose, (…, …, length)."""
    n_vectors, length = bank.shape
    if role in reader.roles:
        logits = reader.take(role, n_dims=3)
        if logits.shape[2] != n_vectors:
            raise reader.fail(f"{role} chooses from {logits.shape[2]} vectors, not {n_vectors}")
        if not reader.keeps:
            return outline((*logits.shape[:2], length))
        chosen = np.argpartition(logits, n_vectors - topk, axis=2)[:, :, n_vectors - topk :]
        best = np.take_along_axis(logits, chosen, 2)
        weights = np.exp(best - best.max(axis=2, keepdims=True))
        weights /= weights.sum(axis=2, keepdims=True)
    else:
        chosen = reader.take_integers(f"{role}_topk_indices", n_dims=3)
        if reader.shape_of(f"{role}_topk_weights")[2:] == (0,):
            reader.roles.pop(f"{role}_topk_weights")
            weights = np.ones(chosen.shape, np.float32)
        else:
            first = reader.take(f"{role}_topk_weights", n_dims=3)
            if first.shape != (*chosen.shape[:2], chosen.shape[2] - 1):
                raise reader.fail(f"{role}: weights {list(first.shape)}, indices {chosen.shape}")
            weights = np.concatenate([first, 1 - first.sum(axis=2, keepdims=True)], axis=2)
        if not reader.keeps:
            return outline((*chosen.shape[:2], length))
        if chosen.min() < 0 or chosen.max() >= n_vectors:
            raise reader.fail(f"{role} names a vector beyond the {n_vectors} of the bank")
    if chosen.shape[0] * chosen.shape[1] * length > MAX_PRODUCT:
        raise reader.fail(f"{role}: a factor that is larger than any weight needs")
    mixed: Float32Array = np.einsum("ijk,ijkl->ijl", weights, bank[chosen], dtype=np.float32)
    return mixed

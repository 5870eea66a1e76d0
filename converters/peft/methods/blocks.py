"""MiSS (once called Bone), GraLoRA, HiRA, DeLoRA and SHiRA: changes made of blocks or places.

Source: ``tuners/miss``, ``tuners/gralora``, ``tuners/hira``, ``tuners/delora`` and
``tuners/shira`` of PEFT 0.21.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ....errors import ConversionError
from ...safetensors import Float32Array
from ..updates import LowRank, Sizes, Update
from .reader import WEIGHT, Change, Reader

__all__ = ["delora", "gralora", "hira", "miss", "shira"]


# --- MiSS ----------------------------------------------------------------------------


def miss(reader: Reader) -> Iterator[Change]:
    """One small block that is added to every group of inputs, or also multiplied with it."""
    options = reader.config.options
    role = "miss_block" if "miss_block" in reader.roles else "bone_block"
    method = "MiSS" if role == "miss_block" else "Bone"
    init = options.get("init_weights", True)
    if init == "bat":
        block = reader.take(role, n_dims=3)
        if block.shape[1] != block.shape[2]:
            raise reader.fail(f"{role} has shape {list(block.shape)}, expected square blocks")
        yield Change(WEIGHT, _Bat(block), method)
        return
    yield Change(WEIGHT, _Tiled(reader.take(role), repeats=init == "mini"), method)


@dataclass(frozen=True)
class _Tiled(Update):
    """``block`` (rank, out): input i gets row ``i % rank``. ``repeats``: out is a divisor.

    ``fitted_shape`` is known once it is fitted.
    """

    block: Float32Array
    repeats: bool
    fitted_shape: Sizes = (0, 0)

    is_low_rank = True

    @property
    def rank(self) -> int:
        return len(self.block)

    def problem(self, shape: tuple[int, ...]) -> str:
        rank, n_out = self.block.shape
        fits = len(shape) == 2 and rank <= shape[1] and shape[0] % n_out == 0
        if not fits or (shape[0] != n_out and not self.repeats):
            return f"a block of shape {[rank, n_out]} for a weight {list(shape)}"
        return ""

    def fitted(self, shape: tuple[int, ...], sizes: Sizes) -> _Tiled:  # noqa: ARG002
        return replace(self, fitted_shape=(shape[0], shape[1]))

    def low_rank(self) -> LowRank:
        n_out, n_in = self.fitted_shape
        a = np.zeros((self.rank, n_in), np.float32)
        a[np.arange(n_in) % self.rank, np.arange(n_in)] = 1
        return LowRank(a, np.tile(self.block, (1, n_out // self.block.shape[1])).T.copy(), 1.0)

    def apply(self, weight: Float32Array) -> Float32Array:
        return self.low_rank().apply(weight)


@dataclass(frozen=True)
class _Bat(Update):
    """Every square of ``W`` becomes ``S + S · B + B`` with the block B of its outputs."""

    block: Float32Array

    def problem(self, shape: tuple[int, ...]) -> str:
        groups, size, _ = self.block.shape
        if len(shape) != 2 or shape[0] != groups * size or shape[1] % size:
            return f"{groups} blocks of size {size} for a weight {list(shape)}"
        return ""

    def apply(self, weight: Float32Array) -> Float32Array:
        groups, size, _ = self.block.shape
        # PEFT numbers the outputs of a group first: row = group · size + place.
        squares = weight.reshape(groups, size, -1, size)
        moved = np.einsum("gpni,gij->gpnj", squares, self.block, optimize=True)
        moved = moved + squares + self.block[:, :, None]
        changed: Float32Array = moved.reshape(weight.shape).astype(np.float32)
        return changed


# --- GraLoRA, HiRA, DeLoRA -----------------------------------------------------------


def gralora(reader: Reader) -> Iterator[Change]:
    """LoRA in k × k blocks, each with its own share of the rank; and a plain LoRA beside it."""
    config = reader.config
    a, b = reader.take("gralora_A", n_dims=3), reader.take("gralora_B", n_dims=3)
    (k, n_in, rank), (k_out, rank_b, n_out) = a.shape, b.shape
    if k != k_out or rank != rank_b or rank % k:
        raise reader.fail(f"gralora_A {list(a.shape)} and gralora_B {list(b.shape)} do not fit")
    own = config.options.number("alpha", 64)
    hybrid = config.options.get("hybrid_r", 0) or 0
    if hybrid and config.options.checked_rank(hybrid, "hybrid_r"):
        general = reader.take("gralora_A_general"), reader.take("gralora_B_general")
        reader.check_shape("gralora_A_general", general[0], (hybrid, k * n_in))
        reader.check_shape("gralora_B_general", general[1], (k * n_out, hybrid))
    else:
        general = None
    scale = own / (rank + hybrid)
    yield Change(WEIGHT, _Granular(a, b, general, scale), "GraLoRA")


@dataclass(frozen=True)
class _Granular(Update):
    """``a`` (k, in / k, rank), ``b`` (k, rank, out / k), ``general`` a plain A and B."""

    a: Float32Array
    b: Float32Array
    general: tuple[Float32Array, Float32Array] | None
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.b.shape[0] * self.b.shape[2], self.a.shape[0] * self.a.shape[1])

    def apply(self, weight: Float32Array) -> Float32Array:
        k, n_in, rank = self.a.shape
        share, n_out = rank // k, self.b.shape[2]
        delta = np.empty((k, n_out, k, n_in), np.float32)
        for source in range(k):
            for goal in range(k):
                a = self.a[source][:, goal * share : (goal + 1) * share]
                b = self.b[goal][source * share : (source + 1) * share]
                delta[goal, :, source] = (a @ b).T
        whole = delta.reshape(weight.shape)
        if self.general is not None:
            whole += self.general[1] @ self.general[0]
        changed: Float32Array = weight + np.float32(self.scale) * whole
        return changed


def hira(reader: Reader) -> Iterator[Change]:
    """``W + W ∘ (B · A)``."""
    a, b = reader.take_pair("hira_A", "hira_B")
    if a.shape[0] != b.shape[1]:
        raise reader.fail(f"hira_A {list(a.shape)} and hira_B {list(b.shape)} do not fit")
    yield Change(WEIGHT, _Weighed(a, b), "HiRA")


@dataclass(frozen=True)
class _Weighed(Update):
    """``a`` (rank, in), ``b`` (out, rank)."""

    a: Float32Array
    b: Float32Array

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.b.shape[0], self.a.shape[1])

    def apply(self, weight: Float32Array) -> Float32Array:
        factor = self.b @ self.a
        factor += 1
        factor *= weight
        return factor


def delora(reader: Reader) -> Iterator[Change]:
    """LoRA whose ranks are normalised, with one trained strength, and scaled by input."""
    a, b = reader.take_pair("delora_A", "delora_B")
    strength, norms = reader.need_vector("delora_lambda"), reader.need_vector("delora_w_norm")
    rank = a.shape[0]
    if b.shape[1] != rank or len(strength) != 1 or len(norms) != a.shape[1]:
        raise reader.fail("delora_A, delora_B, delora_lambda and delora_w_norm do not fit")
    if not reader.keeps:
        yield Change(WEIGHT, LowRank(a, b, 1.0), "DeLoRA")
        return
    lengths = np.maximum(np.linalg.norm(a, axis=1), 1e-4)
    lengths = lengths * np.maximum(np.linalg.norm(b, axis=0), 1e-4)
    scaled = a * (strength[0] / rank / lengths)[:, None] * norms
    yield Change(WEIGHT, LowRank(scaled.astype(np.float32), b, 1.0), "DeLoRA")


# --- SHiRA ---------------------------------------------------------------------------


def shira(reader: Reader) -> Iterator[Change]:
    """``W`` with numbers added at a few places."""
    values = reader.need_vector("shira_weight")
    if "shira_indices" not in reader.roles:
        raise reader.fail("has no shira_indices, the places of its values")
    places = reader.take_integers("shira_indices", n_dims=2)
    if places.shape != (2, len(values)):
        raise reader.fail(f"{len(values)} values at places of shape {list(places.shape)}")
    yield Change(WEIGHT, _Sparse(values, places), "SHiRA")


@dataclass(frozen=True)
class _Sparse(Update):
    """``values`` (n,) at the rows and columns ``places`` (2, n)."""

    values: Float32Array
    places: npt.NDArray[np.int64]

    def problem(self, shape: tuple[int, ...]) -> str:
        if len(shape) != 2:
            return f"places in a tensor of shape {list(shape)}"
        if self.places.min() < 0 or (self.places.max(axis=1) >= shape).any():
            row, column = self.places.max(axis=1)
            return f"a place [{row}, {column}] outside of a weight {list(shape)}"
        return ""

    def apply(self, weight: Float32Array) -> Float32Array:
        if problem := self.problem(weight.shape):
            raise ConversionError(problem)
        changed: Float32Array = weight.copy()
        np.add.at(changed, (self.places[0], self.places[1]), self.values)
        return changed

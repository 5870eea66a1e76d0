"""OFT, BOFT, HRA and RoAd: the weight is turned, its inputs or outputs mixed in small groups.

Source: ``tuners/oft``, ``tuners/boft``, ``tuners/hra`` and ``tuners/road`` of PEFT 0.21.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...safetensors import Float32Array
from ..updates import Update
from .reader import BIAS, WEIGHT, Change, Reader

__all__ = ["boft", "hra", "oft", "road"]

MAX_NEUMANN_TERMS = 64
"""PEFT uses five. Every term is a product of all blocks."""

Blocks = npt.NDArray[np.float64]
"""Square blocks of a block-diagonal matrix, (blocks, size, size)."""


def _cayley(skew: Blocks) -> Blocks:
    """``(I − S) · (I + S)⁻¹``, which is orthogonal."""
    eye = np.eye(skew.shape[-1])
    turned = np.linalg.solve(_transposed(eye + skew), _transposed(eye - skew))
    return _transposed(turned.astype(np.float64, copy=False))


def _transposed(blocks: Blocks) -> Blocks:
    turned: Blocks = blocks.swapaxes(-1, -2)
    return turned


def _turned_inputs(weight: npt.NDArray[np.float64], blocks: Blocks) -> npt.NDArray[np.float64]:
    """``weight @ block_diagonal(blocks).T``. One block serves for all."""
    size = blocks.shape[-1]
    grouped = weight.reshape(len(weight), -1, size)
    if len(blocks) == 1:
        blocks = np.broadcast_to(blocks, (grouped.shape[1], size, size))
    mixed = np.einsum("ogi,gji->ogj", grouped, blocks, optimize=True)
    turned: npt.NDArray[np.float64] = mixed.reshape(weight.shape)
    return turned


# --- OFT -----------------------------------------------------------------------------


def oft(reader: Reader) -> Iterator[Change]:
    """``W · Rᵀ`` with R block-diagonal and orthogonal; an embedding is turned by R itself."""
    options = reader.config.options
    is_embedding = "oft_embedding_R" in reader.roles
    upper = reader.take("oft_embedding_R" if is_embedding else "oft_R")
    # An upper triangle without its diagonal has size · (size − 1) / 2 values.
    size = (1 + math.isqrt(1 + 8 * upper.shape[1])) // 2
    if size * (size - 1) // 2 != upper.shape[1]:
        raise reader.fail(f"oft_R has rows of {upper.shape[1]} values, which is no triangle")
    terms = options.rank("num_cayley_neumann_terms", 5)
    if terms > MAX_NEUMANN_TERMS:
        raise options.error(f"num_cayley_neumann_terms is {terms}; {MAX_NEUMANN_TERMS} are allowed")
    update = _Oft(
        upper,
        size,
        is_shared=options.flag("block_share"),
        # Older versions of PEFT did not have the option, and computed the exact form.
        neumann_terms=terms if options.flag("use_cayley_neumann") else 0,
        limit=options.number("eps", 6e-5) if options.flag("coft") else None,
        is_embedding=is_embedding,
    )
    yield Change(WEIGHT, update, "OFT")


@dataclass(frozen=True)
class _Oft(Update):
    """``upper`` (blocks, size · (size − 1) / 2) are the triangles of skew-symmetric blocks.

    ``limit`` bounds the norm of each block. With ``neumann_terms`` the inverse in Cayley's
    form is that many terms of a series.
    """

    upper: Float32Array
    size: int
    is_shared: bool
    neumann_terms: int
    limit: float | None
    is_embedding: bool

    def problem(self, shape: tuple[int, ...]) -> str:
        width = self.size * len(self.upper)
        fits = len(shape) == 2 and shape[1] % self.size == 0
        if not fits or (shape[1] != width and not (self.is_shared and len(self.upper) == 1)):
            return f"{len(self.upper)} blocks of {self.size} inputs for a weight {list(shape)}"
        return ""

    def apply(self, weight: Float32Array) -> Float32Array:
        skew = np.zeros((len(self.upper), self.size, self.size))
        rows, columns = np.triu_indices(self.size, 1)
        skew[:, rows, columns] = self.upper
        skew -= _transposed(skew).copy()
        if self.limit is not None:
            norms = np.linalg.norm(skew, axis=(1, 2), keepdims=True)
            most = self.limit / math.sqrt(len(skew))
            skew *= np.where(norms > most, most / np.maximum(norms, most), 1.0)
        turn = self._series(skew) if self.neumann_terms else _cayley(skew)
        turn = _transposed(turn) if self.is_embedding else turn
        return _turned_inputs(weight.astype(np.float64), turn).astype(np.float32)

    def _series(self, skew: Blocks) -> Blocks:
        turn: Blocks = np.broadcast_to(np.eye(self.size), skew.shape).copy()
        if self.neumann_terms == 1:
            return turn
        turn += 2 * skew
        power = skew
        # PEFT computes four terms where three are asked for, and adds the last of them once.
        last = max(self.neumann_terms - 1, 3) if self.neumann_terms > 2 else 1
        for term in range(2, last + 1):
            power = power @ skew
            turn += power if term == last else 2 * power
        return turn


# --- BOFT ----------------------------------------------------------------------------


def boft(reader: Reader) -> Iterator[Change]:
    """``s ∘ (W · Bᵀ)``, where B is a product of permuted block-diagonal orthogonal factors."""
    factors = reader.take("boft_R", n_dims=4)
    scale = reader.need_vector("boft_s")
    n_factors, n_blocks, size, other = factors.shape
    if size != other or n_factors > 1 + math.log2(max(n_blocks, 1)):
        raise reader.fail(f"boft_R has shape {list(factors.shape)}")
    if n_factors > 1 and (size % 2 or n_blocks % 2 ** (n_factors - 1)):
        raise reader.fail(f"{n_factors} butterfly factors of {n_blocks} blocks of size {size}")
    yield Change(WEIGHT, _Boft(factors, scale), "BOFT")


@dataclass(frozen=True)
class _Boft(Update):
    """``factors`` (factors, blocks, size, size) before Cayley's form, ``scale`` (out,)."""

    factors: Float32Array
    scale: Float32Array

    @property
    def shape(self) -> tuple[int, ...]:
        _, n_blocks, size, _ = self.factors.shape
        return (len(self.scale), n_blocks * size)

    def apply(self, weight: Float32Array) -> Float32Array:
        turned = weight.astype(np.float64)
        for level, data in enumerate(self.factors.astype(np.float64)):
            blocks = _cayley(0.5 * (data - _transposed(data)))
            order = self._order(level)
            # Wᵀ ← P · D · Pᵀ · Wᵀ, with row i of P at order[i].
            mixed = np.empty_like(turned)
            mixed[:, order] = turned
            turned = _turned_inputs(mixed, blocks)[:, order]
        return (turned * self.scale[:, None]).astype(np.float32)

    def _order(self, level: int) -> npt.NDArray[np.intp]:
        """The block butterfly permutation: inside each group, even half-blocks come first."""
        n_factors, n_blocks, size, _ = self.factors.shape
        if n_factors == 1:
            return np.arange(n_blocks * size)
        half = size // 2
        group = size * 2**level
        parts = np.arange(n_blocks * size).reshape(-1, group // half, half)
        return np.concatenate([parts[:, ::2], parts[:, 1::2]], axis=1).reshape(-1)


# --- HRA -----------------------------------------------------------------------------


def hra(reader: Reader) -> Iterator[Change]:
    """``W`` times Householder reflections, one for each column of ``hra_u`` (in, rank)."""
    directions = reader.take("hra_u")
    orthogonal = reader.config.options.flag("apply_GS")
    yield Change(WEIGHT, _Reflected(directions, orthogonal), "HRA")


@dataclass(frozen=True)
class _Reflected(Update):
    """``directions`` (in, rank); ``orthogonal``: whether they are made orthogonal first."""

    directions: Float32Array
    orthogonal: bool

    def problem(self, shape: tuple[int, ...]) -> str:
        if len(shape) != 2 or shape[1] != len(self.directions):
            return f"reflections of {len(self.directions)} inputs for a weight {list(shape)}"
        return ""

    def apply(self, weight: Float32Array) -> Float32Array:
        reflected = weight.astype(np.float64)
        taken: list[npt.NDArray[np.float64]] = []
        for column in self.directions.T.astype(np.float64):
            unit = column
            if self.orthogonal:
                for before in taken:
                    unit = unit - (before @ unit) * before
            unit = unit / np.linalg.norm(unit)
            taken.append(unit)
            reflected -= 2 * np.outer(reflected @ unit, unit)
        return reflected.astype(np.float32)


# --- RoAd ----------------------------------------------------------------------------


def road(reader: Reader) -> Iterator[Change]:
    """Pairs of outputs, half a group apart, are turned by an angle and scaled."""
    options = reader.config.options
    theta, alpha = reader.need_vector("road_theta"), reader.need_vector("road_alpha")
    group = options.rank("group_size", 64)
    variant = options.get("variant", "road_1")
    if variant not in ("road_1", "road_2", "road_4"):
        raise options.error(f"variant is {variant!r:.50}, expected road_1, road_2 or road_4")
    per_group = {"road_1": group // 2, "road_2": group, "road_4": 2 * group}[variant]
    if group % 2 or len(theta) % per_group or len(alpha) != len(theta):
        raise reader.fail(
            f"{len(theta)} angles and {len(alpha)} factors of {variant} in groups of {group}"
        )
    update = _Road(theta, alpha, group, variant)
    yield Change(WEIGHT, update, "RoAd")
    yield Change(BIAS, update, "RoAd", optional=True)


@dataclass(frozen=True)
class _Road(Update):
    """``theta`` and ``alpha`` are the angles and factors in the order of ``variant``."""

    theta: Float32Array
    alpha: Float32Array
    group: int
    variant: str

    rows_are_apart = False

    @property
    def _n_out(self) -> int:
        per_output = {"road_1": 0.5, "road_2": 1, "road_4": 2}[self.variant]
        return int(len(self.theta) / per_output)

    def problem(self, shape: tuple[int, ...]) -> str:
        if not shape or shape[0] != self._n_out:
            return f"angles for {self._n_out} outputs of a weight {list(shape)}"
        return ""

    def apply(self, weight: Float32Array) -> Float32Array:
        half = self.group // 2
        theta, alpha = self.theta.astype(np.float64), self.alpha.astype(np.float64)
        if self.variant == "road_1":
            theta, alpha = (np.repeat(x.reshape(-1, half), 2, 0) for x in (theta, alpha))
        if self.variant == "road_4":
            theta, alpha = (x.reshape(-1, 2, self.group).swapaxes(0, 1) for x in (theta, alpha))
            straight, across = alpha[0] * np.cos(theta[0]), alpha[1] * np.sin(theta[1])
        else:
            straight, across = alpha * np.cos(theta), alpha * np.sin(theta)
        straight, across = (x.reshape(-1, 2, half, 1) for x in (straight, across))
        rows = weight.astype(np.float64).reshape(-1, 2, half, weight[0].size)
        swapped = np.concatenate([-rows[:, 1:], rows[:, :1]], axis=1)
        turned = straight * rows + across * swapped
        changed: Float32Array = turned.reshape(weight.shape).astype(np.float32)
        return changed

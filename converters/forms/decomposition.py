"""Computes the best low-rank form of any update, and its distance from the update.

DoRA is ``ΔW = g·s·BA + (g − 1)·W``. The first term is exactly low rank, with g folded into B. The
rest has full rank and is small. Its truncated singular value decomposition is appended to A and B,
and the part that is still missing is measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..peft.updates import Dora, LowRank, Update
from ..safetensors import Float32Array

__all__ = ["LowRankForm", "low_rank_form", "truncated_svd"]

OVERSAMPLING = 10
"""Extra columns of the random projection (Halko, Martinsson, Tropp 2011, section 4.2)."""

POWER_ITERATIONS = 2
"""Passes that sharpen a slowly falling spectrum, such as the spectrum of (g − 1)·W."""


@dataclass(frozen=True)
class LowRankForm:
    """``W + b @ a[…]`` approximates the updated weight.

    The first ``exact_rank`` ranks of ``a`` (rank, in) and ``b`` (out, rank) are exact. The others
    come from the decomposition, in falling order of their singular ``values``.

    Three numbers are squared Frobenius norms: ``rest_squared`` of the part that the exact ranks
    leave out, ``delta_squared`` of the whole change, and ``weight_squared`` of the weight.
    """

    a: Float32Array
    b: Float32Array
    exact_rank: int
    values: Float32Array
    rest_squared: float
    delta_squared: float
    weight_squared: float

    def error_squared(self, extra_rank: int) -> float:
        """Squared Frobenius norm of the part that is missing with ``extra_rank`` extra ranks."""
        taken = self.values[:extra_rank].astype(np.float64)
        return max(0.0, self.rest_squared - float(taken @ taken))

    def truncated(self, extra_rank: int) -> tuple[Float32Array, Float32Array]:
        """A (rank, in) and B (out, rank) with ``extra_rank`` extra ranks. B includes the scale."""
        rank = self.exact_rank + extra_rank
        return np.ascontiguousarray(self.a[:rank]), np.ascontiguousarray(self.b[:, :rank])


def low_rank_form(update: Update, weight: Float32Array, extra_rank: int) -> LowRankForm:
    """The form of ``update`` on ``weight`` (out, in), with up to ``extra_rank`` extra ranks.

    For an exactly low-rank update the rest is zero. The caller transposes an embedding, so that
    its rows are outputs.
    """
    n_out, n_in = weight.shape
    whole = float(np.sum(np.square(weight, dtype=np.float64)))
    update = update.low_rank() or update
    if isinstance(update, LowRank):
        b = update.b * np.float32(update.scale)
        if not isinstance(update, Dora):
            size = float(np.sum(np.square(update.delta(), dtype=np.float64)))
            return LowRankForm(update.a, b, update.rank, np.empty(0, np.float32), 0.0, size, whole)
        gain = update.gain(weight)
        b *= gain[:, None]
        rest = weight * (gain - 1)[:, None]
        delta = rest + b @ update.a
        a, exact_rank = update.a, update.rank
    else:
        delta = rest = update.apply(weight) - weight
        a, b, exact_rank = np.empty((0, n_in), np.float32), np.empty((n_out, 0), np.float32), 0
    rest_squared = float(np.sum(np.square(rest, dtype=np.float64)))
    delta_squared = float(np.sum(np.square(delta, dtype=np.float64)))
    if extra_rank and rest_squared:
        u, values, v = truncated_svd(rest, min(extra_rank, n_out, n_in))
        a = np.concatenate([a, v])
        b = np.concatenate([b, u * values], axis=1)
    else:
        values = np.empty(0, np.float32)
    return LowRankForm(a, b, exact_rank, values, rest_squared, delta_squared, whole)


def truncated_svd(
    matrix: Float32Array, rank: int
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """U (rows, rank), singular values (rank,) and V (rank, columns), by random projection.

    The random numbers are fixed, so the same matrix gives the same bytes.
    """
    width = min(rank + OVERSAMPLING, *matrix.shape)
    random = np.random.default_rng(0)
    basis = matrix @ random.standard_normal((matrix.shape[1], width), dtype=np.float32)
    for _ in range(POWER_ITERATIONS):
        basis = matrix @ _orthonormal(matrix.T @ _orthonormal(basis))
    basis = _orthonormal(basis)
    small = (basis.T @ matrix).astype(np.float64)
    squares, u = np.linalg.eigh(small @ small.T)
    squares, u = squares[::-1][:rank], u[:, ::-1][:, :rank]
    values = np.sqrt(np.maximum(squares, 0.0))
    v = u.T @ small
    v /= np.maximum(values, np.finfo(np.float32).tiny)[:, None]
    return basis @ u.astype(np.float32), values.astype(np.float32), v.astype(np.float32)


def _orthonormal(columns: Float32Array) -> Float32Array:
    """Orthonormal columns that span the same space.

    They come from the eigenvectors of the small Gram matrix, in float64. Nearly all of this work
    is matrix products; a QR decomposition of a tall matrix takes ten times as long.
    """
    wide = columns.astype(np.float64)
    squares, vectors = np.linalg.eigh(wide.T @ wide)
    kept = squares > squares[-1] * 1e-14
    result = wide @ (vectors[:, kept] / np.sqrt(squares[kept]))
    narrow: Float32Array = result.astype(np.float32)
    return narrow

"""The changes that an adapter makes to one tensor of the base, in numpy and float32.

``apply`` of each form computes what PEFT's own merge computes, with rows in Transformers' order.
PEFT's Python implementation is the reference.

The forms that one family of methods has alone stand with that family, in ``methods``.

Source: ``tuners/{lora,ia3,loha,lokr}/layer.py`` and ``tuners/lora/dora.py`` of
PEFT 0.21.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...errors import ConversionError
from ..safetensors import Float32Array, SafetensorsFile

__all__ = [
    "AddedBias",
    "Chained",
    "Dora",
    "Hadamard",
    "Kronecker",
    "LowRank",
    "Replaced",
    "Scaled",
    "Sizes",
    "Unchanged",
    "Update",
]


Sizes = tuple[int, int]
"""Outputs and inputs: the largest of all weights that an adapter changes."""


@dataclass(frozen=True)
class Update(ABC):
    """The change of one tensor.

    ``is_low_rank``: whether the change is exactly a LoRA, once it is `fitted`. ``keeps_tie``:
    whether a head that shares its weight with a changed embedding changes with it.
    ``rows_are_apart``: whether no row of the changed tensor depends on another one. A change that
    ``replaces`` the tensor needs none of its values.
    """

    is_low_rank: ClassVar[bool] = False
    keeps_tie: ClassVar[bool] = False
    rows_are_apart: ClassVar[bool] = True
    replaces: ClassVar[bool] = False

    @property
    def rank(self) -> int | None:
        """The rank of A and B; None if the change has none."""
        return None

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the tensor that the change applies to; None if it follows from the tensor."""
        return None

    @property
    def is_neutral(self) -> bool:
        """Whether the change is seen to change nothing, as an untrained LoRA's."""
        return False

    def problem(self, shape: tuple[int, ...]) -> str:
        """Why the change cannot apply to a tensor of ``shape``; empty if it can."""
        if self.shape in (None, shape):
            return ""
        return f"a change of a tensor of shape {list(self.shape or ())}, not {list(shape)}"

    def fitted(self, shape: tuple[int, ...], sizes: Sizes) -> Update:  # noqa: ARG002
        """The change for a tensor of ``shape``, which has no `problem` with it.

        ``sizes`` belong to all weights that the adapter changes: some methods share matrices
        of this size between modules.
        """
        return self

    def low_rank(self) -> LowRank | None:
        """The `fitted` change as a LoRA, if it is exactly one."""
        return None

    def part(self, start: int, stop: int, n_rows: int) -> Update | None:
        """The change of the rows ``start:stop`` of ``n_rows``; None if it depends on the others."""
        return _Part(self, start, stop, n_rows) if self.rows_are_apart else None

    @abstractmethod
    def apply(self, weight: Float32Array) -> Float32Array:
        """The changed tensor. ``weight`` itself stays as it is."""


@dataclass(frozen=True)
class LowRank(Update):
    """LoRA: ``W + scale · B · A``.

    ``a`` is (rank, in) and ``b`` (out, rank), in float32 and without the scale. For an embedding
    the change is the transpose of their product, and ``in`` is the vocabulary.
    """

    a: Float32Array
    b: Float32Array
    scale: float
    is_embedding: bool = False

    is_low_rank = True

    @property
    def rank(self) -> int:
        """The rank: the number of rows of ``a``."""
        return int(self.a.shape[0])

    @property
    def shape(self) -> tuple[int, ...]:
        shape = (self.b.shape[0], self.a.shape[1])
        return shape[::-1] if self.is_embedding else shape

    @property
    def is_neutral(self) -> bool:
        return not (self.scale and self.a.any() and self.b.any())

    def low_rank(self) -> LowRank | None:
        return self

    def part(self, start: int, stop: int, n_rows: int) -> Update | None:
        if self.is_embedding or len(self.b) != n_rows:
            return super().part(start, stop, n_rows)
        return replace(self, b=self.b[start:stop])

    def delta(self) -> Float32Array:
        """``scale · B · A`` in the shape of the weight."""
        product = self.b @ self.a
        product *= np.float32(self.scale)
        return product.T if self.is_embedding else product

    def apply(self, weight: Float32Array) -> Float32Array:
        return weight + self.delta()


@dataclass(frozen=True)
class Dora(LowRank):
    """DoRA: ``g · (W + scale · B · A)`` with ``g = m / ‖W + scale · B · A‖₂`` per output.

    ``magnitude`` is m, (out,). For an embedding the outputs are the columns.
    """

    magnitude: Float32Array = None  # type: ignore[assignment]  # follows a default; always given

    is_low_rank = False
    is_neutral = False

    def low_rank(self) -> None:
        return None

    def part(self, start: int, stop: int, n_rows: int) -> Update | None:
        if self.is_embedding or len(self.b) != n_rows:
            return super().part(start, stop, n_rows)
        return replace(self, b=self.b[start:stop], magnitude=self.magnitude[start:stop])

    def gain(self, weight: Float32Array) -> Float32Array:
        """The factors g, (out,)."""
        return self._gain(weight + self.delta())

    def apply(self, weight: Float32Array) -> Float32Array:
        moved = weight + self.delta()
        gain = self._gain(moved)
        moved *= gain if self.is_embedding else gain[:, None]
        return moved

    def _gain(self, moved: Float32Array) -> Float32Array:
        axis = 0 if self.is_embedding else 1
        squares = np.einsum("ij,ij->j" if axis == 0 else "ij,ij->i", moved, moved)
        norms = np.sqrt(squares)
        if not norms.all():
            raise ConversionError(
                "DoRA divides by the length of a row that is all zero: the base has such a row"
            )
        gain: Float32Array = self.magnitude / norms
        return gain


@dataclass(frozen=True)
class Scaled(Update):
    """IA³: every row (``axis`` 0, also for a bias) or column (``axis`` 1) times its factor."""

    factors: Float32Array
    axis: int

    @property
    def is_neutral(self) -> bool:
        return bool((self.factors == 1).all())

    def part(self, start: int, stop: int, n_rows: int) -> Update | None:
        if not self.axis and len(self.factors) != n_rows:
            return super().part(start, stop, n_rows)
        return self if self.axis else replace(self, factors=self.factors[start:stop])

    def problem(self, shape: tuple[int, ...]) -> str:
        n = shape[self.axis] if self.axis < len(shape) else 0
        if n != len(self.factors):
            return f"{len(self.factors)} factors for {n} {'columns' if self.axis else 'rows'}"
        return ""

    def apply(self, weight: Float32Array) -> Float32Array:
        by_row = self.axis == 0 and weight.ndim > 1
        return weight * (self.factors[:, None] if by_row else self.factors)


@dataclass(frozen=True)
class Hadamard(Update):
    """LoHa: ``W + scale · (w1_a · w1_b) ∘ (w2_a · w2_b)``."""

    w1_a: Float32Array
    w1_b: Float32Array
    w2_a: Float32Array
    w2_b: Float32Array
    scale: float

    @property
    def is_neutral(self) -> bool:
        factors = self.w1_a, self.w1_b, self.w2_a, self.w2_b
        return not (self.scale and all(factor.any() for factor in factors))

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.w1_a.shape[0], self.w1_b.shape[1])

    def apply(self, weight: Float32Array) -> Float32Array:
        delta = self.w1_a @ self.w1_b
        delta *= self.w2_a @ self.w2_b
        return _scaled_onto(delta, self.scale, weight)


@dataclass(frozen=True)
class Kronecker(Update):
    """LoKr: ``W + scale · w1 ⊗ w2``. Factored ``w1`` and ``w2`` are given multiplied out."""

    w1: Float32Array
    w2: Float32Array
    scale: float

    @property
    def is_neutral(self) -> bool:
        return not (self.scale and self.w1.any() and self.w2.any())

    @property
    def shape(self) -> tuple[int, ...]:
        (a, c), (b, d) = self.w1.shape, self.w2.shape
        return (a * b, c * d)

    def apply(self, weight: Float32Array) -> Float32Array:
        delta: Float32Array = np.kron(self.w1, self.w2)
        return _scaled_onto(delta, self.scale, weight)


def _scaled_onto(delta: Float32Array, scale: float, weight: Float32Array) -> Float32Array:
    """``weight + scale · delta``, computed in the memory of ``delta``."""
    delta *= np.float32(scale)
    delta += weight
    return delta


@dataclass(frozen=True)
class AddedBias(Update):
    """``lora_bias``: the bias of B, which is added to the module's bias with the same scale."""

    values: Float32Array
    scale: float

    @property
    def is_neutral(self) -> bool:
        return not (self.scale and self.values.any())

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def apply(self, weight: Float32Array) -> Float32Array:
        moved: Float32Array = weight + np.float32(self.scale) * self.values
        return moved


@dataclass(frozen=True)
class Replaced(Update):
    """A tensor that was trained and saved whole: a bias, or one of ``modules_to_save``.

    The tensor is read on demand, since an embedding can be larger than all other tensors together.
    """

    file: Path
    name: str
    stored_shape: tuple[int, ...]

    replaces = True

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored_shape

    def apply(self, weight: Float32Array) -> Float32Array:  # noqa: ARG002 - it is replaced
        with SafetensorsFile(self.file) as file:
            values = file.read_float32(self.name)
        if not np.isfinite(values).all():
            raise ConversionError(f"{self.file}: {self.name!r} has NaN or infinite values")
        return values


@dataclass(frozen=True)
class Chained(Update):
    """Two changes of one tensor, ``first`` and then ``then``."""

    first: Update
    then: Update

    @property
    def replaces(self) -> bool:  # type: ignore[override]
        return self.first.replaces

    @property
    def rank(self) -> int | None:
        return self.then.rank

    @property
    def shape(self) -> tuple[int, ...] | None:
        return self.then.shape

    def problem(self, shape: tuple[int, ...]) -> str:
        return self.first.problem(shape) or self.then.problem(shape)

    def fitted(self, shape: tuple[int, ...], sizes: Sizes) -> Chained:
        return Chained(self.first.fitted(shape, sizes), self.then.fitted(shape, sizes))

    def part(self, start: int, stop: int, n_rows: int) -> Update | None:
        first, then = (one.part(start, stop, n_rows) for one in (self.first, self.then))
        return None if first is None or then is None else Chained(first, then)

    def apply(self, weight: Float32Array) -> Float32Array:
        return self.then.apply(self.first.apply(weight))


@dataclass(frozen=True)
class _Part(Update):
    """Some rows of a change that is computed as a whole."""

    update: Update
    start: int
    stop: int
    n_rows: int

    @property
    def shape(self) -> tuple[int, ...] | None:
        whole = self.update.shape
        return whole and (self.stop - self.start, *whole[1:])

    def problem(self, shape: tuple[int, ...]) -> str:
        return self.update.problem((self.n_rows, *shape[1:]))

    def fitted(self, shape: tuple[int, ...], sizes: Sizes) -> _Part:
        return replace(self, update=self.update.fitted((self.n_rows, *shape[1:]), sizes))

    def apply(self, weight: Float32Array) -> Float32Array:
        whole = np.zeros((self.n_rows, *weight.shape[1:]), np.float32)
        whole[self.start : self.stop] = weight
        return self.update.apply(whole)[self.start : self.stop]


@dataclass(frozen=True)
class Unchanged(Update):
    """The tensor, unchanged."""

    def apply(self, weight: Float32Array) -> Float32Array:
        return weight

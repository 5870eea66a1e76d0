"""How much of an adapter's change a converted form loses, in squared weights."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BOUND", "TENSOR_BOUND", "ChangeLoss", "TensorLoss"]

BOUND = 0.02
"""Largest share of an adapter's effect that a form may lose without being asked for."""

TENSOR_BOUND = 0.1
"""Largest share of the change of one tensor: no tensor is left out where others hide it."""


ROUNDING = 1e-6
"""Relative change of a tensor that float32 arithmetic makes by itself, with room to spare."""


@dataclass(frozen=True)
class TensorLoss:
    """One tensor: the squared Frobenius norms of what is missing and of the whole change."""

    name: str
    missing: float
    changed: float

    @classmethod
    def of(cls, name: str, missing: float, changed: float, weight: float) -> TensorLoss:
        """With the squared norm of the ``weight``, below whose rounding nothing counts."""
        smallest = weight * ROUNDING**2
        return cls(name, missing if missing > smallest else 0.0, max(changed, smallest))

    @property
    def share(self) -> float:
        """Of the squared change, what is missing: 1 where nothing is left, more with noise."""
        return self.missing / self.changed if self.missing else 0.0


@dataclass(frozen=True)
class ChangeLoss:
    """All tensors of an adapter."""

    tensors: tuple[TensorLoss, ...]

    @property
    def share(self) -> float:
        """Of the squared change of all tensors, what is missing."""
        missing = sum(tensor.missing for tensor in self.tensors)
        return missing / sum(tensor.changed for tensor in self.tensors) if missing else 0.0

    @property
    def worst(self) -> TensorLoss | None:
        """The tensor that loses the largest share."""
        return max(self.tensors, key=lambda tensor: tensor.share, default=None)

    @property
    def is_within_bound(self) -> bool:
        """Whether all together lose no more than `BOUND`, and none more than `TENSOR_BOUND`."""
        worst = self.worst
        return self.share <= BOUND and (worst is None or worst.share <= TENSOR_BOUND)

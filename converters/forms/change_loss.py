"""How much of an adapter's change a converted form loses, in squared weights."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BOUND", "TENSOR_BOUND", "ChangeLoss", "TensorLoss"]

BOUND = 0.02
"""Largest share of an adapter's effect that a form may lose unless the user asks for the form."""

TENSOR_BOUND = 0.1
"""Largest share that one tensor may lose, so that the others do not hide its loss."""

ROUNDING = 1e-6
"""Relative change of a tensor that comes from float32 arithmetic alone, with room to spare."""


@dataclass(frozen=True)
class TensorLoss:
    """One tensor's loss: squared Frobenius norms of the missing part and of the whole change."""

    name: str
    missing: float
    changed: float

    @classmethod
    def of(cls, name: str, missing: float, changed: float, weight: float) -> TensorLoss:
        """The loss in a tensor of squared norm ``weight``, whose rounding counts as no loss."""
        smallest = weight * ROUNDING**2
        return cls(name, missing if missing > smallest else 0.0, max(changed, smallest))

    @property
    def share(self) -> float:
        """The missing share of the squared change: 1 if nothing is left, more if noise is added."""
        return self.missing / self.changed if self.missing else 0.0


@dataclass(frozen=True)
class ChangeLoss:
    """The losses of all tensors of an adapter."""

    tensors: tuple[TensorLoss, ...]

    @property
    def share(self) -> float:
        """The missing share of the squared change of all tensors."""
        missing = sum(tensor.missing for tensor in self.tensors)
        return missing / sum(tensor.changed for tensor in self.tensors) if missing else 0.0

    @property
    def worst(self) -> TensorLoss | None:
        """The tensor that loses the largest share."""
        return max(self.tensors, key=lambda tensor: tensor.share, default=None)

    @property
    def is_within_bound(self) -> bool:
        """Whether all tensors together lose at most `BOUND`, and each at most `TENSOR_BOUND`."""
        worst = self.worst
        return self.share <= BOUND and (worst is None or worst.share <= TENSOR_BOUND)

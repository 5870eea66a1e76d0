"""PiSSA and OLoRA as they are saved while their base is still the changed one.

These two begin with a part of the weight itself in A and B, and take it out of the base. An
adapter that was saved as it is therefore belongs to the base without this part. The part follows
from the base's weight alone, so it can be taken out again. PEFT does the same when it loads such
an adapter.

Source: ``pissa_init`` and ``olora_init`` in ``tuners/lora/layer.py`` of PEFT 0.21.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...safetensors import Float32Array
from ..updates import Update

__all__ = ["WithoutInitialPart", "initial_part"]


def initial_part(init: str, rank: int, scale: float) -> WithoutInitialPart | None:
    """What takes the initial part of this rank out of a weight; None if nothing was moved.

    ``init`` is the config's ``init_lora_weights``, ``scale`` the factor of B · A.
    """
    if init == "pissa":
        return _WithoutSingularPart(rank)
    # OLoRA does not divide its initial factors by the scale, so the part is scaled, too.
    return _WithoutOrthogonalPart(rank, scale) if init == "olora" else None


@dataclass(frozen=True)
class WithoutInitialPart(Update):
    """A weight without its part of the given rank that the adapter began with."""

    initial_rank: int

    rows_are_apart = False

    method: ClassVar[str]

    def problem(self, shape: tuple[int, ...]) -> str:
        if len(shape) != 2 or self.initial_rank > min(shape):
            return f"an initial part of rank {self.initial_rank} of a weight of shape {list(shape)}"
        return ""


@dataclass(frozen=True)
class _WithoutSingularPart(WithoutInitialPart):
    """PiSSA: without the ``rank`` largest singular values."""

    method = "PiSSA"

    def apply(self, weight: Float32Array) -> Float32Array:
        wide = weight.astype(np.float64)
        rows, columns = wide.shape
        gram = wide @ wide.T if rows < columns else wide.T @ wide
        vectors = np.linalg.eigh(gram)[1][:, -self.initial_rank :]
        part = vectors @ (vectors.T @ wide) if rows < columns else wide @ vectors @ vectors.T
        changed: Float32Array = (wide - part).astype(np.float32)
        return changed


@dataclass(frozen=True)
class _WithoutOrthogonalPart(WithoutInitialPart):
    """OLoRA: without ``scale`` times the first columns of Q and rows of R.

    These columns of Q depend on as many columns of the weight, and the rows of R follow.
    """

    scale: float

    method = "OLoRA"

    def apply(self, weight: Float32Array) -> Float32Array:
        wide = weight.astype(np.float64)
        q, _ = np.linalg.qr(wide[:, : self.initial_rank])
        part = self.scale * (q @ (q.T @ wide))
        changed: Float32Array = (wide - part).astype(np.float32)
        return changed

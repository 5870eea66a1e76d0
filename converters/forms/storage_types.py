"""Chooses the type that each tensor of a variant is stored as.

Each tensor gets the smallest type whose rounding is small beside the adapter's change of that
tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import ConversionError
from ..peft.updates import Update
from ..quantization import TensorType, decode_rows, encode_rows, row_bytes, tensor_type
from ..safetensors import Float32Array
from .change_loss import BOUND, ChangeLoss, TensorLoss
from .merging import base_values, merged, updates_by_tensor
from .targets import Target
from .weights import WeightSource

__all__ = ["STORED", "TypePlan", "allowed_types", "plan_types", "row_blocks", "stored_bytes"]

STORED = ("q8_0", "bf16", "f16", "f32")
"""Types that a tensor can be stored as, coarsest first."""

BLOCK_ELEMENTS = 4 << 20
"""Elements that are encoded at a time."""


def allowed_types(
    source: WeightSource, base: WeightSource, wanted: str | None, *, force: bool = False
) -> tuple[str, ...]:
    """The types that tensors may be stored as, smallest first: ``wanted`` alone, or sound types.

    Beside a float base nothing is quantised. Raises ConversionError if ``wanted`` is coarser than
    float16 and the weights are quantised, unless ``force`` is set.
    """
    if not source.is_float and wanted not in (None, "f16", "f32") and not force:
        raise ConversionError(
            f"merging into {source.origin} and storing {wanted} would lose most of the adapter: "
            "its changes are smaller than the step of the grid\n"
            "Give the float weights, store f16, or force it."
        )
    if wanted is not None:
        return (wanted,)
    return ("f16", "f32") if base.is_float or not source.is_float else ("q8_0", "f16", "f32")


@dataclass(frozen=True)
class TypePlan:
    """The type of each changed tensor, such as ``q8_0``, by GGUF name.

    ``loss`` is the part of the adapter's change that rounding to these types loses.
    """

    types: Mapping[str, str]
    loss: ChangeLoss

    @property
    def is_exact(self) -> bool:
        """Whether every tensor is float32."""
        return all(quantization == "f32" for quantization in self.types.values())


def plan_types(
    updates: Sequence[tuple[Target, Update]],
    source: WeightSource,
    allowed: Sequence[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> TypePlan:
    """Choose the first of the ``allowed`` types that loses at most `BOUND` of a tensor's change.

    If no type is good enough, the last one is chosen. ``progress`` is called with the number of
    weights that are done and their total.
    """
    steps = updates_by_tensor(updates)
    total = sum(math.prod(target.shape) for target, _ in steps.values())
    done = 0
    types, losses = {}, []
    for name, (target, changes) in steps.items():
        exact = merged(target, changes, source)
        weight = base_values(target, source)
        whole, changed = _squares(weight), _squares(exact - weight)
        for quantization in allowed:
            missing = _rounding(target.stored(exact), tensor_type(quantization, target.shape))
            loss = TensorLoss.of(name, missing, changed, whole)
            if loss.share <= BOUND:
                break
        types[name] = quantization
        losses.append(loss)
        done += math.prod(target.shape)
        if progress is not None:
            progress(done, total)
    return TypePlan(types, ChangeLoss(tuple(losses)))


def stored_bytes(shape: tuple[int, ...], stored: TensorType) -> int:
    """Bytes of a tensor of ``shape`` that is stored as ``stored``."""
    return math.prod(shape[:-1]) * row_bytes(stored, shape[-1])


def _rounding(values: Float32Array, kind: TensorType) -> float:
    """Squared norm of the difference that storing ``values`` as ``kind`` makes."""
    if kind == "F32":
        return 0.0
    lost = 0.0
    for block in row_blocks(values):
        lost += _squares(decode_rows(encode_rows(block, kind), kind) - block)
    return lost if math.isfinite(lost) else math.inf


def _squares(values: Float32Array) -> float:
    return float(np.sum(np.square(values, dtype=np.float64)))


def row_blocks(values: Float32Array) -> Iterator[Float32Array]:
    """The rows of ``values``, in blocks of about `BLOCK_ELEMENTS` elements."""
    step = max(1, BLOCK_ELEMENTS // max(1, math.prod(values.shape[1:])))
    for start in range(0, values.shape[0], step):
        yield np.ascontiguousarray(values[start : start + step])

"""Merges an adapter's updates into the weights of a base, in float32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from ...errors import ConversionError
from ..gguf.header import GGUFHeader
from ..peft.updates import Update
from ..safetensors import Float32Array
from .targets import Target
from .weights import WeightSource

__all__ = ["base_values", "merged", "unties_head", "updates_by_tensor"]


def updates_by_tensor(
    updates: Iterable[tuple[Target, Update]],
) -> dict[str, tuple[Target, list[Update]]]:
    """The target and the updates of each tensor, by its GGUF name, in the order of ``updates``."""
    found: dict[str, tuple[Target, list[Update]]] = {}
    for target, update in updates:
        found.setdefault(target.gguf_name, (target, []))[1].append(update)
    return found


def unties_head(steps: Mapping[str, tuple[Target, list[Update]]], base: GGUFHeader) -> bool:
    """Whether the model needs a head of its own: its embedding changes, and was also the head.

    PEFT changes only the named module, so the head keeps the original weights. Only trained
    tokens change both. ``steps`` come from `updates_by_tensor`.
    """
    if "output.weight" in (*base.tensors, *steps) or "token_embd.weight" not in steps:
        return False
    return not all(update.keeps_tie for update in steps["token_embd.weight"][1])


def base_values(target: Target, source: WeightSource) -> Float32Array:
    """The base's weight of ``target``; zeros where the adapter brings rows of another number."""
    return np.zeros(target.shape, np.float32) if target.resized else source.read(target)


def merged(target: Target, updates: Sequence[Update], source: WeightSource) -> Float32Array:
    """The weight of ``target`` after all ``updates``, in float32 and Transformers' order of rows.

    Raises ConversionError if the result has another shape than the base, or is not finite.
    """
    values = base_values(target, source)
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for update in updates:
                values = update.apply(values)
    except ConversionError as error:
        raise ConversionError(f"{target.hf_name}: {error}") from None
    if values.shape != target.shape:
        raise ConversionError(
            f"{target.hf_name} becomes {list(values.shape)}, the base has {list(target.shape)}"
        )
    if not np.isfinite(values).all():
        raise ConversionError(f"{target.hf_name}: the merged weights have NaN or infinite values")
    return values

"""Decides whether the head of a checkpoint is the embedding, as Transformers 5 does.

A config may say that the two are tied although the files hold two different matrices, as they do
when a model with a trained head was merged and saved. What the files hold then counts.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ...errors import ConversionError
from ..architectures.text_part import text_names
from ..checkpoints.tensors import Checkpoint, Renamed
from ..safetensors import FLOATS, to_float32
from .config import ModelConfig

__all__ = ["settle_head"]

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"

BLOCK_ELEMENTS = 1 << 20
"""Elements that are compared at a time: 4 MB of float32 each."""


def settle_head(
    config: ModelConfig, checkpoint: Checkpoint
) -> tuple[ModelConfig, Checkpoint, tuple[str, ...]]:
    """``config`` and ``checkpoint`` as they are meant, and notes.

    Of a tied pair the files may hold either. If they hold both with different values, the head
    is not tied. Raises ConversionError if llama.cpp's graph of the model has no head of its own.
    """
    names = text_names(checkpoint) if config.is_text_part else {name: name for name in checkpoint}
    head, embedding = names.get(HEAD), names.get(EMBEDDING)
    if not config.tied_head or head is None:
        return config, checkpoint, ()
    if embedding is None:
        tensors = {EMBEDDING: Renamed(checkpoint[head], head), **checkpoint.tensors}
        return config, dataclasses.replace(checkpoint, tensors=tensors), ()
    if _are_equal(Renamed(checkpoint[embedding], embedding), Renamed(checkpoint[head], head)):
        return config, checkpoint, ()
    found = (
        f"{config.path.name} says that {HEAD} is tied to {EMBEDDING}, but the files hold two "
        "different matrices"
    )
    if not config.architecture.own_head:
        raise ConversionError(
            f"{config.path.parent}: {found}\nllama.cpp computes {config.architecture.name} only "
            "with a tied head. Train and merge without a head of its own."
        )
    note = f"{found}: the head of the files is used, as Transformers 5 does"
    return dataclasses.replace(config, tied_head=False), checkpoint, (note,)


def _are_equal(embedding: Renamed, head: Renamed) -> bool:
    """Whether the embedding and the head have the same values. Stops at the first difference."""
    one, other = embedding.info(EMBEDDING), head.info(HEAD)
    if one.shape != other.shape or not {one.dtype, other.dtype} <= FLOATS or not one.shape:
        return False
    step = max(1, BLOCK_ELEMENTS // max(1, one.n_elements // max(1, one.shape[0])))
    for start in range(0, one.shape[0], step):
        stop = min(start + step, one.shape[0])
        a = to_float32(embedding.read_stored(EMBEDDING, start, stop), one.dtype)
        b = to_float32(head.read_stored(HEAD, start, stop), other.dtype)
        if not np.array_equal(a, b, equal_nan=True):
            return False
    return True

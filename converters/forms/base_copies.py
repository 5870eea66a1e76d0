"""Compares the copies of base weights that an adapter carries with the base itself.

PEFT saves the embedding and the head beside a LoRA on them, and loads these copies in place of the
base's weights. They differ if the training began with another embedding: with spare rows that
were initialised anew, for example. The adapter then belongs to the copy.
"""

from __future__ import annotations

import numpy as np

from ..architectures import architecture_of_gguf
from ..gguf.header import GGUFHeader
from ..peft.adapter import Adapter, BaseCopy
from ..safetensors import SafetensorsFile, to_float32
from .targets import Target, find_target
from .weights import WeightSource

__all__ = ["on_its_copies"]

SAME = 0.01
"""Relative distance of a row of floats from its copy that rounding to bfloat16 explains."""

SAME_QUANTIZED = 0.5
"""The same for a base that was quantised. Rows that have nothing in common are at about 1.4."""

_BLOCK = 1 << 22
"""Elements that are compared at a time."""


def on_its_copies(adapter: Adapter, base: GGUFHeader, source: WeightSource) -> Adapter:
    """``adapter`` on those of its copies that differ from the weights of ``source``, the base.

    Raises ConversionError for weights that cannot be read.
    """
    changed = _changed(adapter, base, source) if adapter.base_copies else ()
    if not changed:
        return adapter
    return adapter.on_copies(changed, tied="output.weight" not in base.tensors)


def _changed(adapter: Adapter, base: GGUFHeader, source: WeightSource) -> tuple[BaseCopy, ...]:
    architecture = architecture_of_gguf(base.architecture)
    found = []
    with SafetensorsFile(adapter.path) as file:
        for copy in adapter.base_copies:
            target = find_target(copy.module, ".weight", architecture, base)
            if isinstance(target, Target) and _differs(file, copy, target, source):
                found.append(copy)
    return tuple(found)


def _differs(file: SafetensorsFile, copy: BaseCopy, target: Target, source: WeightSource) -> bool:
    if copy.shape != target.shape:
        return True
    weight = source.read(target)
    limit = SAME if source.is_float else SAME_QUANTIZED
    dtype = file.info(copy.name).dtype
    step = max(1, _BLOCK // copy.shape[1])
    for start in range(0, copy.shape[0], step):
        rows = weight[start : start + step]
        copied = to_float32(file.read_stored(copy.name, start, start + len(rows)), dtype)
        sizes = np.maximum(np.linalg.norm(rows, axis=1), np.linalg.norm(copied, axis=1))
        # Written so that NaN in a copy counts as a difference; using it is then refused.
        if not (np.linalg.norm(rows - copied, axis=1) <= limit * sizes).all():
            return True
    return False

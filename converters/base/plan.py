"""Plans the tensors of a converted base: where each comes from, and how it changes on the way.

The plan finds every problem of a checkpoint except wrong values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import ConversionError
from ..quantization import TensorType, is_mix, row_bytes, tensor_type
from ..safetensors import FLOATS, Float32Array, SafetensorsFile
from .config import ModelConfig
from .rope import rope_tensors

__all__ = ["PlannedTensor", "plan_tensors"]

_FLOAT_TYPES: Mapping[str, TensorType] = {"F64": "F32", "F32": "F32", "F16": "F16", "BF16": "BF16"}
"""Types that keep a checkpoint's floats unchanged."""

_IGNORED_SUFFIXES = (".rotary_emb.inv_freq", ".attention.masked_bias", ".attention.bias")
"""Constants that old checkpoints carry."""


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor to write, taken from ``source`` in the checkpoint, or with computed ``values``.

    ``n_heads`` is set if the rows have to be reordered. ``offset`` is added to every value.
    """

    name: str
    shape: tuple[int, ...]
    kind: TensorType
    source: str = ""
    values: Float32Array | None = None
    n_heads: int | None = None
    offset: float = 0.0

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape[:-1]) * row_bytes(self.kind, self.shape[-1])


def plan_tensors(
    config: ModelConfig, checkpoint: Mapping[str, SafetensorsFile], quant: str
) -> list[PlannedTensor]:
    """All tensors of the file, in its order.

    Raises ConversionError for a tensor that is missing, has the wrong shape or type, or belongs
    nowhere.
    """
    architecture, shapes = config.architecture, config.architecture.shapes(config.sizes)
    heads = {"attention.head_count": "heads", "attention.head_count_kv": "kv_heads"}
    plan = [
        PlannedTensor(name, values.shape, "F32", values=values)
        for name, values in rope_tensors(config.rope, config.sizes["head_dim"]).items()
    ]
    used = {"lm_head.weight"} if config.tied_head else set()
    for module in architecture.modules(config.n_layers):
        if module == "lm_head" and config.tied_head:
            continue
        place = architecture.tensor_name(module)
        assert place is not None  # built from the same tables  # noqa: S101
        heads_key = architecture.permuted.get(place.module)
        n_heads = config.sizes[heads[heads_key]] if heads_key else None
        for suffix in (".weight", ".bias"):
            source, shape = module + suffix, shapes[place.module]
            if suffix == ".bias":
                if place.module not in config.biased:
                    continue
                shape = shape[:1]
            _check_source(config, checkpoint, source, shape)
            used.add(source)
            kind = tensor_type(quant, shape)
            if is_mix(quant) and len(shape) > 1:
                kind = _FLOAT_TYPES[checkpoint[source].info(source).dtype]
            offset = architecture.offset(place.module) if suffix == ".weight" else 0.0
            plan.append(
                PlannedTensor(place.gguf + suffix, shape, kind, source, None, n_heads, offset)
            )
    for source in checkpoint:
        if source not in used and not source.endswith(_IGNORED_SUFFIXES):
            raise ConversionError(
                f"{checkpoint[source].path}: tensor {source!r} has no place in {architecture.name}"
            )
    return plan


def _check_source(
    config: ModelConfig,
    checkpoint: Mapping[str, SafetensorsFile],
    source: str,
    shape: tuple[int, ...],
) -> None:
    if (file := checkpoint.get(source)) is None:
        hint = " and tie_word_embeddings is not set" if source == "lm_head.weight" else ""
        raise ConversionError(f"{config.path.parent}: tensor {source!r} is missing{hint}")
    info = file.info(source)
    if info.shape != shape:
        raise ConversionError(
            f"{file.path}: tensor {source!r} has shape {list(info.shape)}, "
            f"{config.path.name} asks for {list(shape)}"
        )
    if info.dtype not in FLOATS:
        raise ConversionError(f"{file.path}: tensor {source!r} is {info.dtype}, expected floats")

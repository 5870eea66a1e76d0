"""Plans the tensors of a converted base: where each comes from, and how it changes on the way.

The plan finds every problem of a checkpoint except wrong values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import ConversionError
from ..architectures.architecture import ModuleTensor
from ..architectures.changes import UNCHANGED, Change, row_factors
from ..architectures.text_part import left_out, text_names
from ..checkpoints.tensors import TensorReader
from ..quantization import TensorType, is_mix, row_bytes, tensor_type
from ..safetensors import FLOATS, Float32Array, TensorInfo
from .config import ModelConfig
from .rope import rope_tensors

if TYPE_CHECKING:
    from ..architectures.changes import IntArray

__all__ = ["PlannedTensor", "plan_tensors", "skipped_parts"]

_FLOAT_TYPES: Mapping[str, TensorType] = {
    "F64": "F32",
    "F32": "F32",
    "F16": "F16",
    "BF16": "BF16",
    "F8_E4M3": "BF16",
    "F8_E5M2": "BF16",
}
"""Types that keep a checkpoint's floats unchanged."""

_IGNORED_SUFFIXES = (".rotary_emb.inv_freq", ".attention.masked_bias", ".attention.bias")
"""Constants that old checkpoints carry."""


@dataclass(frozen=True)
class PlannedTensor:
    """One tensor to write, taken from ``source`` in the checkpoint, or with computed ``values``.

    ``first_row`` is where its rows begin in ``source``. ``rows`` and ``columns`` are the source
    of each row and column where their order changes, ``factors`` are what rows are multiplied by;
    ``change`` says what else differs.
    """

    name: str
    shape: tuple[int, ...]
    kind: TensorType
    source: str = ""
    values: Float32Array | None = None
    first_row: int = 0
    change: Change = UNCHANGED
    rows: IntArray | None = None
    columns: IntArray | None = None
    factors: Float32Array | None = None

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape[:-1]) * row_bytes(self.kind, self.shape[-1])


def plan_tensors(
    config: ModelConfig, checkpoint: Mapping[str, TensorReader], quant: str
) -> list[PlannedTensor]:
    """All tensors of the file, in its order.

    Raises ConversionError for a tensor that is missing, has the wrong shape or type, or belongs
    nowhere.
    """
    architecture, shapes = config.architecture, _shapes(config)
    names = text_names(checkpoint) if config.is_text_part else dict.fromkeys(checkpoint, "")
    plan = [
        PlannedTensor(name, values.shape, "F32", values=values)
        for name, values in rope_tensors(config.rope, config.sizes["head_dim"]).items()
    ]
    used = {"lm_head.weight"} if config.tied_head else set()
    for tensor in architecture.tensors(config.kinds, config.biased, config.without):
        if tensor.source == "lm_head.weight" and config.tied_head:
            continue
        used.add(tensor.source)
        source = names.get(tensor.source) or tensor.source
        layer = tensor.place.layer
        shape = shapes[None if layer is None else config.kinds[layer]][tensor.place.module]
        shape = shape[:1] if tensor.is_bias else shape
        _check_source(config, checkpoint, source, shape)
        change = architecture.change(tensor.place.module)
        if tensor.is_bias:
            change = Change(rows=change.rows)
        plan.append(
            _planned(config, tensor, source, checkpoint[source].info(source), change, quant)
        )
    for name, stored in names.items():
        if name not in used and not _is_ignored(name, config):
            source = stored or name
            if name.endswith(".bias") and _is_zero(checkpoint[source], source):
                continue  # quantisers give every module a bias
            raise ConversionError(
                f"{checkpoint[source].path}: tensor {source!r} has no place in {architecture.name}"
            )
    return plan


def _shapes(config: ModelConfig) -> Mapping[str | None, Mapping[str, tuple[int, ...]]]:
    """The shapes of modules in the layers of each kind; outside the layers, for None."""
    architecture, sizes = config.architecture, config.sizes
    return {None: architecture.shapes(sizes)} | {
        kind: architecture.shapes(architecture.kind_sizes(sizes, kind)) for kind in config.kinds
    }


def skipped_parts(config: ModelConfig, checkpoint: Mapping[str, TensorReader]) -> str:
    """A note that names the parts of a multimodal model that are not converted; may be empty."""
    if not config.is_text_part:
        return ""
    parts = {part for name in text_names(checkpoint) if (part := left_out(name)) is not None}
    if not parts:
        return ""
    return f"only the text model is converted, without {', '.join(sorted(parts))}"


def _planned(
    config: ModelConfig,
    tensor: ModuleTensor,
    source: str,
    info: TensorInfo,
    change: Change,
    quant: str,
) -> PlannedTensor:
    module = tensor.place.module
    start, stop = tensor.place.rows(info.shape[0])
    shape = (stop - start, *info.shape[1:])
    try:
        shape = change.shape(shape, config.sizes)
        rows = change.rows(shape[0], config.sizes) if change.rows else None
        columns = change.columns(shape[1], config.sizes) if change.columns else None
    except ConversionError as error:
        raise ConversionError(f"{config.path}: {module}: {error}") from None
    factors = config.factors.get(module)
    kind = tensor_type(quant, shape)
    if is_mix(quant) and len(shape) > 1:
        kind = _FLOAT_TYPES[info.dtype]
    if module in config.architecture.float32:
        kind = "F32"
    return PlannedTensor(
        tensor.gguf,
        shape,
        kind,
        source,
        first_row=start,
        change=change,
        rows=rows,
        columns=columns,
        factors=None if factors is None or tensor.is_bias else row_factors(factors),
    )


def _is_ignored(name: str, config: ModelConfig) -> bool:
    if name.endswith(_IGNORED_SUFFIXES) or name.startswith(config.architecture.ignored):
        return True
    return config.is_text_part and left_out(name) is not None


def _is_zero(file: TensorReader, source: str) -> bool:
    info = file.info(source)
    if len(info.shape) != 1 or info.dtype not in FLOATS:
        return False
    return not file.read_float32(source).any()


def _check_source(
    config: ModelConfig,
    checkpoint: Mapping[str, TensorReader],
    source: str,
    shape: tuple[int, ...],
) -> None:
    if (file := checkpoint.get(source)) is None:
        hint = " and tie_word_embeddings is not set" if source == "lm_head.weight" else ""
        raise ConversionError(f"{config.path.parent}: tensor {source!r} is missing{hint}")
    info = file.info(source)
    if info.shape != shape:
        hint = _vocabulary_hint(source, info.shape, shape)
        raise ConversionError(
            f"{file.path}: tensor {source!r} has shape {list(info.shape)}, "
            f"{config.path.name} asks for {list(shape)}{hint}"
        )
    if info.dtype not in FLOATS:
        raise ConversionError(f"{file.path}: tensor {source!r} is {info.dtype}, expected floats")


def _vocabulary_hint(source: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """What to do where only the number of tokens differs."""
    if not source.endswith(("embed_tokens.weight", "lm_head.weight")) or found[1:] != wanted[1:]:
        return ""
    return (
        f"\nThe embedding was resized and the config was not saved with it: set vocab_size to "
        f"{found[0]} if both embed_tokens and lm_head have as many rows."
    )

"""Presents a checkpoint's quantised tensors as floats."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from ....errors import ConversionError
from ..tensors import Checkpoint, TensorReader
from . import awq, bitsandbytes, fp4, gptq, packed, scaled
from .settings import QuantizationSettings
from .tensor import Found

__all__ = ["dequantised"]

_Find = Callable[[Mapping[str, TensorReader], QuantizationSettings], Iterator[Found]]

_FORMATS: tuple[_Find, ...] = (bitsandbytes.find, packed.find, fp4.find, scaled.find)
"""Formats whose tensors say what they are."""

_OF_ACTIVATIONS = re.compile(
    r".*\.(?:input_scale|output_scale|[kqv]_scale|input_global_scale|activation_scale"
    r"|input_zero_point|input_scale_ub|weight_format)"
)
"""Scales of activations and of the KV cache, which are not rounded here."""


def dequantised(checkpoint: Checkpoint, settings: QuantizationSettings) -> Checkpoint:
    """``checkpoint`` with floats for its quantised tensors. Nothing but small tensors is read.

    Raises ConversionError for a tensor that is damaged or in a packing that is not known.
    """
    formats = _FORMATS
    if any(name.endswith(".qweight") for name in checkpoint):
        formats = (_of_words(settings), *_FORMATS)
    tensors, used, methods = dict[str, TensorReader](), set[str](), Counter[str]()
    for find in formats:
        for name, tensor, stored in find(checkpoint, settings):
            if name in tensors or not used.isdisjoint(stored):
                raise ConversionError(f"{tensor.path}: {name!r} is stored in two packings")
            tensors[name] = tensor
            used.update(stored)
            methods[tensor.method] += 1
    if not tensors:
        return _as_floats(checkpoint, settings)
    for name, reader in checkpoint.items():
        if name in used or _OF_ACTIVATIONS.fullmatch(name):
            continue
        if name in tensors:
            raise ConversionError(f"{reader.path}: {name!r} is stored as floats and quantised")
        tensors[name] = reader
    named = " and ".join(sorted(methods))
    notes = [f"{sum(methods.values())} weights were dequantised from {named}"]
    if _rounds_activations(settings, methods):
        notes.append(
            "activations are not rounded as they are where the quantised weights are computed with"
        )
    return dataclasses.replace(
        checkpoint, tensors=tensors, quantization=named, notes=(*checkpoint.notes, *notes)
    )


def _of_words(settings: QuantizationSettings) -> _Find:
    """GPTQ and AWQ give their tensors the same names."""
    if settings.method == "awq":
        return awq.find
    if settings.method == "gptq":
        return gptq.find
    raise ConversionError(
        f"{settings.source}: the checkpoint has packed weights (qweight), and no quant_method "
        "'gptq' or 'awq' in quantization_config says how\nUse its original config.json."
    )


def _as_floats(checkpoint: Checkpoint, settings: QuantizationSettings) -> Checkpoint:
    if not settings.method:
        return checkpoint
    note = f"the config says {settings.method}, but the weights are floats: they were read"
    return dataclasses.replace(checkpoint, notes=(*checkpoint.notes, note))


def _rounds_activations(settings: QuantizationSettings, methods: Mapping[str, int]) -> bool:
    if "int8 (bitsandbytes)" in methods or "fp8" in methods:
        return True
    groups = settings.options.get("config_groups")
    return isinstance(groups, dict) and any(
        isinstance(group, dict) and group.get("input_activations") for group in groups.values()
    )

"""Granite 3 and 4, dense: Llama's modules, and four numbers that scale its values.

Source: conversion/granite.py and src/models/granite.cpp of llama.cpp.
"""

from __future__ import annotations

from .architecture import Architecture, HyperParameters, Sizes
from .config_fields import ConfigFields
from .llama import LLAMA, ROTARY_HEADS, llama_shapes

__all__ = ["GRANITE", "granite_scales"]

_SCALES = {
    "attention.scale": "attention_multiplier",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}


def granite_scales(fields: ConfigFields) -> dict[str, float]:
    """The four scales. llama.cpp would divide by √(head size) if the first were missing."""
    return {key: float(fields.number(name, 1.0)) for key, name in _SCALES.items()}


def _hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    return {
        "vocab_size": sizes["vocab"],
        "rope.dimension_count": sizes["head_dim"],
        **granite_scales(fields),
    }


GRANITE = Architecture(
    name="granite",
    hf_names=("GraniteForCausalLM",),
    layer_modules=LLAMA.layer_modules,
    global_modules=LLAMA.global_modules,
    shapes=llama_shapes,
    changes=ROTARY_HEADS,
    biases=LLAMA.biases,
    rope_types=LLAMA.rope_types,
    hyper_parameters=_hyper_parameters,
)

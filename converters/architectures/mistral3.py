"""Ministral 3 and Mistral Small 3.1 (the text model): Llama with YaRN of its own.

Queries are scaled with their position, in steps of the original length of the context.

Source: conversion/mistral3.py and src/models/mistral3.cpp of llama.cpp.
"""

from __future__ import annotations

from .architecture import Architecture, HyperParameters, Sizes
from .config_fields import ConfigFields
from .llama import LLAMA, ROTARY_HEADS, llama_shapes

__all__ = ["MISTRAL3"]


def _hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    found = {"vocab_size": sizes["vocab"], "rope.dimension_count": sizes["head_dim"]}
    kind = fields.get("model_type")
    if kind == "ministral3":
        rope = fields.inner("rope_parameters")
        if rope.get("rope_type", rope.get("type")) != "yarn":
            raise fields.error("a Ministral 3 without YaRN is not supported")
        scale = rope.number("llama_4_scaling_beta")
        return {**found, "attention.temperature_scale": float(scale)}
    if kind not in ("mistral", "mistral3"):
        raise fields.error(f"a text model of type {kind!r:.50} is not supported for mistral3")
    return found


MISTRAL3 = Architecture(
    name="mistral3",
    hf_names=("Ministral3ForCausalLM", "Mistral3ForConditionalGeneration"),
    layer_modules=LLAMA.layer_modules,
    global_modules=LLAMA.global_modules,
    shapes=llama_shapes,
    changes=ROTARY_HEADS,
    rope_types=frozenset({"default", "yarn"}),
    rope_theta=1_000_000.0,
    yarn_mscale=True,
    hyper_parameters=_hyper_parameters,
    rope_tensors=True,
    checked_whole=True,
)

"""ERNIE 4.5, dense: Llama's modules. Transformers itself rotates neighbouring rows here.

Source: conversion/ernie.py and src/models/ernie4-5.cpp of llama.cpp.
"""

from __future__ import annotations

from .architecture import Architecture, HyperParameters, Sizes
from .config_fields import ConfigFields
from .llama import LLAMA, llama_shapes

__all__ = ["ERNIE4_5"]


def _hyper_parameters(fields: ConfigFields, _sizes: Sizes) -> HyperParameters:
    if fields.get("use_bias"):
        raise fields.error("use_bias is not supported for ernie4_5")
    return {}


ERNIE4_5 = Architecture(
    name="ernie4_5",
    hf_names=("Ernie4_5ForCausalLM", "Ernie4_5_ForCausalLM"),
    layer_modules=LLAMA.layer_modules,
    global_modules=LLAMA.global_modules,
    shapes=llama_shapes,
    rope_types=frozenset({"default"}),
    rope_theta=500_000.0,
    tied_head=True,
    hyper_parameters=_hyper_parameters,
    checked_whole=True,
)

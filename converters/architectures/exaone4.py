"""EXAONE 4: norms after attention and feed-forward, and on the queries and keys of each head.

llama.cpp's graph knows windows only in the largest model, which has 64 layers; the layers
without a window do not rotate there.

Source: conversion/exaone.py and src/models/exaone4.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture, HyperParameters, Sizes
from .config_fields import ConfigFields
from .llama import (
    LLAMA,
    POST_NORM_MODULES,
    QUERY_KEY_NORMS,
    post_norm_shapes,
    query_key_norm_shapes,
)

__all__ = ["EXAONE4"]

_WINDOWED_LAYERS = 64


def _shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    return {**post_norm_shapes(sizes), **query_key_norm_shapes(sizes)}


def _hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    has_window = fields.get("sliding_window") is not None
    if has_window or sizes["layers"] == _WINDOWED_LAYERS:
        raise fields.error(
            "EXAONE 4 with a sliding window (the 32B) is not supported; use a ready GGUF file"
        )
    return {"vocab_size": sizes["vocab"]}


EXAONE4 = Architecture(
    name="exaone4",
    hf_names=("Exaone4ForCausalLM",),
    layer_modules={**POST_NORM_MODULES, **QUERY_KEY_NORMS},
    global_modules=LLAMA.global_modules,
    shapes=_shapes,
    rope_types=frozenset({"default", "llama3"}),
    head_fills_hidden=True,
    hyper_parameters=_hyper_parameters,
    rope_tensors=True,
    checked_whole=True,
)

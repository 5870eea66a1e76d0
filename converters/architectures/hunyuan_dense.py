"""Hunyuan, dense: Llama's modules with norms on the rotated queries and keys.

Published configs name the token that ends an answer ``eod_token_id``.

Source: conversion/hunyuan.py and src/models/hunyuan-vl.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture, Sizes
from .llama import LLAMA, llama_shapes

__all__ = ["HUNYUAN_DENSE"]

_NORMS = {
    "self_attn.query_layernorm": "attn_q_norm",
    "self_attn.key_layernorm": "attn_k_norm",
}


def _shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    return {**llama_shapes(sizes), **dict.fromkeys(_NORMS, (sizes["head_dim"],))}


HUNYUAN_DENSE = Architecture(
    name="hunyuan-dense",
    hf_names=("HunYuanDenseV1ForCausalLM",),
    layer_modules={**LLAMA.layer_modules, **_NORMS},
    global_modules=LLAMA.global_modules,
    shapes=_shapes,
    rope_types=frozenset({"default", "ntk-alpha"}),
    keys={"eos_token_id": "eod_token_id"},
    checked_whole=True,
)

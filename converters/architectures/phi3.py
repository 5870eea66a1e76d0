"""Phi-3, Phi-3.5 mini and Phi-4.

One matrix holds queries, keys and values, another gate and up. GGUF keeps both fused. The variants
for long texts have two sets of RoPE divisors.

Source: conversion/phi.py and src/models/phi3.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture, HyperParameters, Sizes
from .config_fields import ConfigFields
from .llama import LLAMA, llama_shapes

__all__ = ["PHI3"]


def _shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    n_embd, n_ff = sizes["hidden"], sizes["feed_forward"]
    n_q = sizes["heads"] * sizes["head_dim"]
    n_kv = sizes["kv_heads"] * sizes["head_dim"]
    own = {
        "self_attn.qkv_proj": (n_q + 2 * n_kv, n_embd),
        "mlp.gate_up_proj": (2 * n_ff, n_embd),
    }
    split = {f"self_attn.{name}_proj" for name in "qkv"} | {"mlp.gate_proj", "mlp.up_proj"}
    shared = {name: shape for name, shape in llama_shapes(sizes).items() if name not in split}
    return {**shared, **own}


def _hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    rope = fields.get("rope_parameters", fields.get("rope_scaling"))
    inner = ConfigFields(fields.path, rope if isinstance(rope, dict) else {})
    window = fields.get("sliding_window")
    return {
        "rope.dimension_count": sizes["rotary"],
        "rope.scaling.original_context_length": inner.size(
            "original_max_position_embeddings",
            fields.size("original_max_position_embeddings", 4096),
        ),
        # llama.cpp recognises Phi-4 by the zero.
        "attention.sliding_window": 0 if window is None else fields.size("sliding_window"),
    }


PHI3 = Architecture(
    name="phi3",
    hf_names=("Phi3ForCausalLM",),
    layer_modules={
        "input_layernorm": "attn_norm",
        "self_attn.qkv_proj": "attn_qkv",
        "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    },
    global_modules=LLAMA.global_modules,
    shapes=_shapes,
    rope_types=frozenset({"default", "longrope"}),
    partial_rotary=True,
    head_fills_hidden=True,
    hyper_parameters=_hyper_parameters,
    text_types=frozenset({"phi3"}),
    rope_tensors=True,
    checked_whole=True,
)

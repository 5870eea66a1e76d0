"""Phi-3, Phi-3.5 mini and Phi-4: queries, keys and values in one matrix, gate and up in another.

GGUF keeps both fused. Long variants bring two sets of RoPE divisors.

Source: conversion/phi.py and src/models/phi3.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture, HyperParameters
from .config_fields import ConfigFields
from .llama import LLAMA

__all__ = ["PHI3"]


def _shapes(sizes: Mapping[str, int]) -> Mapping[str, tuple[int, ...]]:
    n_embd, n_ff, n_vocab = sizes["hidden"], sizes["feed_forward"], sizes["vocab"]
    n_q = sizes["heads"] * sizes["head_dim"]
    n_kv = sizes["kv_heads"] * sizes["head_dim"]
    return {
        "embed_tokens": (n_vocab, n_embd),
        "norm": (n_embd,),
        "lm_head": (n_vocab, n_embd),
        "input_layernorm": (n_embd,),
        "self_attn.qkv_proj": (n_q + 2 * n_kv, n_embd),
        "self_attn.o_proj": (n_embd, n_q),
        "post_attention_layernorm": (n_embd,),
        "mlp.gate_up_proj": (2 * n_ff, n_embd),
        "mlp.down_proj": (n_embd, n_ff),
    }


def _hyper_parameters(fields: ConfigFields, sizes: Mapping[str, int]) -> HyperParameters:
    rope = fields.get("rope_parameters", fields.get("rope_scaling"))
    inner = ConfigFields(fields.path, rope if isinstance(rope, dict) else {})
    window = fields.get("sliding_window")
    return {
        "rope.dimension_count": sizes["rotary"],
        "rope.scaling.original_context_length": inner.size(
            "original_max_position_embeddings",
            fields.size("original_max_position_embeddings", 4096),
        ),
        # llama.cpp tells Phi-4 from the others by the zero.
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
)

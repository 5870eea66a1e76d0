"""LFM2, dense: short convolutions in most layers, attention in the others.

Source: conversion/lfm2.py and src/models/lfm2.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture, HyperParameters, Sizes
from .changes import Change
from .config_fields import ConfigFields

__all__ = ["LFM2"]

_CONV, _FULL = "conv", "full_attention"

_CONV_MODULES = {
    "conv.in_proj": "shortconv.in_proj",
    "conv.conv": "shortconv.conv",
    "conv.out_proj": "shortconv.out_proj",
}
_ATTENTION_MODULES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.out_proj": "attn_output",
    "self_attn.q_layernorm": "attn_q_norm",
    "self_attn.k_layernorm": "attn_k_norm",
}


def _sizes(fields: ConfigFields, sizes: Sizes) -> Sizes:
    if fields.get("conv_bias"):
        raise fields.error("conv_bias is not supported for lfm2")
    n_ff = sizes["feed_forward"]
    if fields.get("block_auto_adjust_ff_dim", True):
        multiple = fields.size("block_multiple_of", 256)
        n_ff = int(fields.number("block_ffn_dim_multiplier", 1.0) * int(2 * n_ff / 3))
        n_ff = multiple * -(-n_ff // multiple)
    return {"feed_forward": n_ff, "kernel": fields.size("conv_L_cache", 3)}


def _kinds(fields: ConfigFields, sizes: Sizes) -> tuple[str, ...]:
    n, full = sizes["layers"], fields.get("full_attn_idxs")
    kinds = fields.choices("layer_types", n, (_CONV, _FULL))
    if kinds is None:
        full = list(range(n)) if full is None else full
        if not isinstance(full, list) or any(type(layer) is not int for layer in full):
            raise fields.error(f"full_attn_idxs is {full!r:.50}, expected a list of layers")
        kinds = tuple(_FULL if layer in full else _CONV for layer in range(n))
    return kinds


def _shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    n_embd, n_ff, n_vocab = sizes["hidden"], sizes["feed_forward"], sizes["vocab"]
    n_kv = sizes["kv_heads"] * sizes["head_dim"]
    return {
        "embed_tokens": (n_vocab, n_embd),
        "embedding_norm": (n_embd,),
        "lm_head": (n_vocab, n_embd),
        "operator_norm": (n_embd,),
        "ffn_norm": (n_embd,),
        "feed_forward.w1": (n_ff, n_embd),
        "feed_forward.w2": (n_embd, n_ff),
        "feed_forward.w3": (n_ff, n_embd),
        "conv.in_proj": (3 * n_embd, n_embd),
        "conv.conv": (n_embd, 1, sizes["kernel"]),
        "conv.out_proj": (n_embd, n_embd),
        "self_attn.q_proj": (n_embd, n_embd),
        "self_attn.k_proj": (n_kv, n_embd),
        "self_attn.v_proj": (n_kv, n_embd),
        "self_attn.out_proj": (n_embd, n_embd),
        "self_attn.q_layernorm": (sizes["head_dim"],),
        "self_attn.k_layernorm": (sizes["head_dim"],),
    }


def _hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    return {
        "attention.head_count_kv": tuple(
            0 if kind == _CONV else sizes["kv_heads"] for kind in _kinds(fields, sizes)
        ),
        "vocab_size": sizes["vocab"],
        "shortconv.l_cache": sizes["kernel"],
    }


LFM2 = Architecture(
    name="lfm2",
    hf_names=("Lfm2ForCausalLM", "LFM2ForCausalLM"),
    layer_modules={
        "operator_norm": "attn_norm",
        **_CONV_MODULES,
        **_ATTENTION_MODULES,
        "ffn_norm": "ffn_norm",
        "feed_forward.w1": "ffn_gate",
        "feed_forward.w3": "ffn_up",
        "feed_forward.w2": "ffn_down",
    },
    global_modules={
        "embed_tokens": "token_embd",
        "embedding_norm": "token_embd_norm",
        "lm_head": "output",
    },
    shapes=_shapes,
    kinds=_kinds,
    only_in={**dict.fromkeys(_CONV_MODULES, _CONV), **dict.fromkeys(_ATTENTION_MODULES, _FULL)},
    changes={"conv.conv": Change(squeezed=True)},
    float32=frozenset({"conv.conv"}),
    rope_types=frozenset({"default"}),
    rope_theta=1_000_000.0,
    head_fills_hidden=True,
    tied_head=True,
    keys={
        "intermediate_size": "block_ff_dim",
        "rms_norm_eps": "norm_eps",
        "tie_word_embeddings": "tie_embedding",
    },
    sizes=_sizes,
    hyper_parameters=_hyper_parameters,
    text_types=frozenset({"lfm2"}),
)

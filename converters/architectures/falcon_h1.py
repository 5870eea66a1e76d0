"""Falcon-H1: every layer has attention and a Mamba 2 mixer side by side.

Transformers multiplies many values by numbers of the config; GGUF has the products in the weights.
The file therefore keeps the numbers under a key of our own, which adapters need. llama.cpp's own
converter writes no such key: its files take no adapters on these modules.

Source: conversion/falcon_h1.py and src/models/falcon-h1.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import MULTIPLIERS_KEY, Architecture, Factors, HyperParameters, Sizes
from .config_fields import ConfigFields
from .llama import LLAMA, llama_shapes
from .mamba2 import (
    MAMBA2_CHANGES,
    MAMBA2_FLOAT32,
    MAMBA2_MODULES,
    MAMBA2_PARAMETERS,
    MAMBA2_SIZE_KEYS,
    mamba2_biased,
    mamba2_hyper_parameters,
    mamba2_shapes,
)

__all__ = ["FALCON_H1"]

_SINGLE = (
    "embedding_multiplier",
    "lm_head_multiplier",
    "attention_in_multiplier",
    "attention_out_multiplier",
    "key_multiplier",
    "ssm_in_multiplier",
    "ssm_out_multiplier",
)


def _multipliers(fields: ConfigFields) -> tuple[float, ...]:
    found = [fields.number(name, 1.0) for name in _SINGLE]
    for name, length in (("mlp_multipliers", 2), ("ssm_multipliers", 5)):
        given = fields.get(name) is not None
        found += fields.numbers(name, length) if given else [1.0] * length
    return tuple(float(number) for number in found)


def _factors(multipliers: tuple[float, ...], sizes: Sizes) -> Mapping[str, Factors]:
    embedding, head, attention_in, attention_out, key, ssm_in, ssm_out, gate, down, *parts = (
        multipliers
    )
    state = sizes["ssm_groups"] * sizes["ssm_state"]
    rows = (sizes["ssm_inner"], sizes["ssm_inner"], state, state, sizes["ssm_heads"])
    alone = {
        "embed_tokens": embedding,
        "lm_head": head,
        "self_attn.q_proj": attention_in,
        "self_attn.k_proj": attention_in * key,
        "self_attn.v_proj": attention_in,
        "self_attn.o_proj": attention_out,
        "mamba.out_proj": ssm_out,
        "feed_forward.gate_proj": gate,
        "feed_forward.down_proj": down,
    }
    return {
        **{module: ((0, factor),) for module, factor in alone.items()},
        "mamba.in_proj": tuple((n, ssm_in * part) for n, part in zip(rows, parts, strict=True)),
    }


def _sizes(fields: ConfigFields, sizes: Sizes) -> Sizes:
    for name in ("projectors_bias", "attention_bias", "mlp_bias"):
        if fields.get(name):
            raise fields.error(f"{name} is not supported for falcon-h1")
    if fields.get("mamba_rms_norm") and fields.get("mamba_norm_before_gate", True):
        raise fields.error("mamba_norm_before_gate is not supported for falcon-h1")
    inner = fields.size("mamba_d_ssm", fields.size("mamba_expand", 2) * sizes["hidden"])
    found = {
        "ssm_inner": inner,
        "ssm_state": fields.size("mamba_d_state", 256),
        "ssm_groups": fields.size("mamba_n_groups", 1),
        "ssm_heads": fields.size("mamba_n_heads", 128),
        "kernel": fields.size("mamba_d_conv", 4),
    }
    if inner % found["ssm_heads"] or inner % found["ssm_groups"]:
        raise fields.error(f"{inner} values are no {found['ssm_heads']} heads of the Mamba mixer")
    tied = fields.get("tie_word_embeddings", False) is True
    scales = [fields.number(f"{name}_multiplier", 1.0) for name in ("embedding", "lm_head")]
    if tied and scales[0] != scales[1]:
        raise fields.error("a tied head with a multiplier of its own is not supported")
    return found


def _shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    hidden, n_ff = sizes["hidden"], sizes["feed_forward"]
    return {
        **llama_shapes(sizes),
        **mamba2_shapes(sizes),
        "final_layernorm": (hidden,),
        "pre_ff_layernorm.weight": (hidden,),
        "feed_forward.gate_proj": (n_ff, hidden),
        "feed_forward.up_proj": (n_ff, hidden),
        "feed_forward.down_proj": (hidden, n_ff),
    }


def _without(fields: ConfigFields, _sizes: Sizes) -> frozenset[str]:
    return frozenset() if fields.get("mamba_rms_norm") else frozenset({"mamba.norm"})


def _hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    return {
        "vocab_size": sizes["vocab"],
        **mamba2_hyper_parameters(sizes),
        "attention.key_length": sizes["head_dim"],
        "attention.value_length": sizes["head_dim"],
        MULTIPLIERS_KEY: _multipliers(fields),
    }


FALCON_H1 = Architecture(
    name="falcon-h1",
    hf_names=("FalconH1ForCausalLM",),
    layer_modules={
        **{name: gguf for name, gguf in LLAMA.layer_modules.items() if "self_attn" in name},
        "input_layernorm": "attn_norm",
        **MAMBA2_MODULES,
        "feed_forward.gate_proj": "ffn_gate",
        "feed_forward.up_proj": "ffn_up",
        "feed_forward.down_proj": "ffn_down",
    },
    global_modules={
        "embed_tokens": "token_embd",
        "final_layernorm": "output_norm",
        "lm_head": "output",
    },
    shapes=_shapes,
    parameters={**MAMBA2_PARAMETERS, "pre_ff_layernorm.weight": "ffn_norm"},
    without=_without,
    changes=MAMBA2_CHANGES,
    multipliers=_multipliers,
    factors=_factors,
    n_multipliers=len(_SINGLE) + 2 + 5,
    size_keys=MAMBA2_SIZE_KEYS,
    float32=MAMBA2_FLOAT32,
    no_lora=frozenset({"embed_tokens"}),
    rope_types=frozenset({"default"}),
    biased=mamba2_biased,
    sizes=_sizes,
    hyper_parameters=_hyper_parameters,
)

"""Qwen 3 with experts: every layer has a router and experts instead of one feed-forward part.

An adapter may change attention. The experts of a layer are one tensor of GGUF.

Source: conversion/qwen.py and src/models/qwen3moe.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture, HyperParameters, Sizes
from .config_fields import ConfigFields
from .llama import LLAMA, QUERY_KEY_NORMS, llama_shapes, query_key_norm_shapes

__all__ = ["QWEN3_MOE"]

MAX_EXPERTS = 1024
"""``LLAMA_MAX_EXPERTS``."""

_EXPERTS = {
    "mlp.experts.*.gate_proj": "ffn_gate_exps",
    "mlp.experts.*.up_proj": "ffn_up_exps",
    "mlp.experts.*.down_proj": "ffn_down_exps",
}


def _sizes(fields: ConfigFields, _sizes: Sizes) -> Sizes:
    experts = fields.size("num_experts", fields.size("num_local_experts", 128))
    used = fields.size("num_experts_per_tok", 8)
    if experts > MAX_EXPERTS or used > experts:
        raise fields.error(f"{used} of {experts} experts; llama.cpp computes {MAX_EXPERTS} at most")
    if fields.get("decoder_sparse_step", 1) != 1 or fields.get("mlp_only_layers"):
        raise fields.error("layers without experts are not supported for qwen3moe")
    if fields.get("norm_topk_prob") is not True:
        raise fields.error("norm_topk_prob is not true, as llama.cpp computes")
    return {
        "experts": experts,
        "used_experts": used,
        "expert_feed_forward": fields.size("moe_intermediate_size", 768),
    }


def _shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    hidden, n_ff, n = sizes["hidden"], sizes["expert_feed_forward"], sizes["experts"]
    return {
        **llama_shapes(sizes),
        **query_key_norm_shapes(sizes),
        "mlp.gate": (n, hidden),
        "mlp.experts.*.gate_proj": (n, n_ff, hidden),
        "mlp.experts.*.up_proj": (n, n_ff, hidden),
        "mlp.experts.*.down_proj": (n, hidden, n_ff),
    }


def _hyper_parameters(_fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    return {
        "expert_count": sizes["experts"],
        "expert_used_count": sizes["used_experts"],
        "expert_feed_forward_length": sizes["expert_feed_forward"],
    }


QWEN3_MOE = Architecture(
    name="qwen3moe",
    hf_names=("Qwen3MoeForCausalLM",),
    layer_modules={
        **{name: gguf for name, gguf in LLAMA.layer_modules.items() if not name.startswith("mlp.")},
        **QUERY_KEY_NORMS,
        "mlp.gate": "ffn_gate_inp",
        **_EXPERTS,
    },
    global_modules=LLAMA.global_modules,
    shapes=_shapes,
    stacks=dict.fromkeys(_EXPERTS, "experts"),
    float32=frozenset({"mlp.gate"}),
    biases=frozenset({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}),
    sizes=_sizes,
    hyper_parameters=_hyper_parameters,
)

"""Qwen 3.5, dense, text only: three layers of four are gated delta nets instead of attention.

Every value head of a delta net belongs to a key head. llama.cpp orders them otherwise. The query
projection of the attention layers also makes the gate of their output.

Source: conversion/qwen.py and src/models/qwen35.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture, HyperParameters, Sizes
from .changes import Change, TiledHeads
from .config_fields import ConfigFields
from .llama import LLAMA, QUERY_KEY_NORMS, llama_shapes, query_key_norm_shapes

__all__ = ["QWEN3_5"]

_LINEAR, _FULL = "linear_attention", "full_attention"
_PERIOD = 4

_LINEAR_MODULES = {
    "linear_attn.in_proj_qkv": "attn_qkv",
    "linear_attn.in_proj_z": "attn_gate",
    "linear_attn.in_proj_b": "ssm_beta",
    "linear_attn.in_proj_a": "ssm_alpha",
    "linear_attn.conv1d": "ssm_conv1d",
    "linear_attn.norm": "ssm_norm",
    "linear_attn.out_proj": "ssm_out",
}
_LINEAR_PARAMETERS = {"linear_attn.dt_bias": "ssm_dt.bias", "linear_attn.A_log": "ssm_a"}
_ATTENTION = [name for name in LLAMA.layer_modules if name.startswith("self_attn.")]

_HEADS = TiledHeads("linear_key_heads", "linear_value_heads")
_AFTER_KEYS = TiledHeads("linear_key_heads", "linear_value_heads", after_keys=True)


def _sizes(fields: ConfigFields, _sizes: Sizes) -> Sizes:
    found = {
        "linear_key_heads": fields.size("linear_num_key_heads"),
        "linear_value_heads": fields.size("linear_num_value_heads"),
        "linear_head": fields.size("linear_key_head_dim"),
        "kernel": fields.size("linear_conv_kernel_dim"),
    }
    value_head = fields.size("linear_value_head_dim")
    if value_head != found["linear_head"]:
        raise fields.error(
            f"linear_value_head_dim {value_head} differs from linear_key_head_dim "
            f"{found['linear_head']}, which llama.cpp does not compute"
        )
    if fields.get("attn_output_gate", True) is not True:
        raise fields.error("attention without an output gate is not supported for qwen35")
    return found


def _kinds(fields: ConfigFields, sizes: Sizes) -> tuple[str, ...]:
    n, period = sizes["layers"], fields.size("full_attention_interval", _PERIOD)
    return fields.choices("layer_types", n, (_LINEAR, _FULL)) or tuple(
        _LINEAR if (layer + 1) % period else _FULL for layer in range(n)
    )


def _shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    hidden, n_values = sizes["hidden"], sizes["linear_value_heads"]
    n_q = sizes["heads"] * sizes["head_dim"]
    inner = n_values * sizes["linear_head"]
    n_qkv = 2 * sizes["linear_key_heads"] * sizes["linear_head"] + inner
    return {
        **llama_shapes(sizes),
        **query_key_norm_shapes(sizes),
        "self_attn.q_proj": (2 * n_q, hidden),
        "linear_attn.in_proj_qkv": (n_qkv, hidden),
        "linear_attn.in_proj_z": (inner, hidden),
        "linear_attn.in_proj_b": (n_values, hidden),
        "linear_attn.in_proj_a": (n_values, hidden),
        "linear_attn.conv1d": (n_qkv, 1, sizes["kernel"]),
        "linear_attn.norm": (sizes["linear_head"],),
        "linear_attn.out_proj": (hidden, inner),
        **dict.fromkeys(_LINEAR_PARAMETERS, (n_values,)),
    }


def _hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    sections = fields.inner("rope_parameters").get("mrope_section", [11, 11, 10])
    if (
        not isinstance(sections, list)
        or len(sections) != 3
        or not all(type(n) is int and n >= 0 for n in sections)
        or sum(sections) != sizes["rotary"] // 2
    ):
        raise fields.error(
            f"mrope_section is {sections!r:.50}, expected three numbers that make "
            f"{sizes['rotary'] // 2}"
        )
    return {
        "rope.dimension_sections": (*sections, 0),
        "rope.dimension_count": sizes["rotary"],
        "ssm.conv_kernel": sizes["kernel"],
        "ssm.state_size": sizes["linear_head"],
        "ssm.group_count": sizes["linear_key_heads"],
        "ssm.time_step_rank": sizes["linear_value_heads"],
        "ssm.inner_size": sizes["linear_head"] * sizes["linear_value_heads"],
        "attention.recurrent_layers": tuple(k == _LINEAR for k in _kinds(fields, sizes)),
        "full_attention_interval": fields.size("full_attention_interval", _PERIOD),
    }


QWEN3_5 = Architecture(
    name="qwen35",
    hf_names=("Qwen3_5ForCausalLM", "Qwen3_5ForConditionalGeneration"),
    layer_modules={
        **LLAMA.layer_modules,
        **QUERY_KEY_NORMS,
        "post_attention_layernorm": "post_attention_norm",
        **_LINEAR_MODULES,
    },
    global_modules=LLAMA.global_modules,
    shapes=_shapes,
    parameters=_LINEAR_PARAMETERS,
    kinds=_kinds,
    only_in={
        **dict.fromkeys([*_ATTENTION, *QUERY_KEY_NORMS], _FULL),
        **dict.fromkeys([*_LINEAR_MODULES, *_LINEAR_PARAMETERS], _LINEAR),
    },
    changes={
        "linear_attn.in_proj_qkv": Change(rows=_AFTER_KEYS),
        "linear_attn.in_proj_z": Change(rows=_HEADS),
        "linear_attn.in_proj_b": Change(rows=_HEADS),
        "linear_attn.in_proj_a": Change(rows=_HEADS),
        "linear_attn.conv1d": Change(rows=_AFTER_KEYS, squeezed=True),
        "linear_attn.norm": Change(),
        "linear_attn.out_proj": Change(columns=_HEADS),
        "linear_attn.dt_bias": Change(rows=_HEADS),
        "linear_attn.A_log": Change(rows=_HEADS, negative_exp=True),
    },
    size_keys={
        "linear_key_heads": "ssm.group_count",
        "linear_value_heads": "ssm.time_step_rank",
    },
    norm_offset=1.0,
    float32=frozenset({"linear_attn.conv1d"}),
    rope_types=frozenset({"default"}),
    partial_rotary=True,
    rotary_factor=0.25,
    defaults={"head_dim": 256},
    sizes=_sizes,
    hyper_parameters=_hyper_parameters,
    ignored=("mtp.",),
)

"""Granite 3 and 4, without experts: Llama's modules, and four numbers that scale its values.

In most layers of the hybrid models of Granite 4 a Mamba 2 mixer takes the place of attention. Their
class also has models without such layers, which are plain Granite to llama.cpp. One matrix makes
gate and up; GGUF divides it.

Source: conversion/granite.py, src/models/granite.cpp and granite-hybrid.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture, HyperParameters, Sizes
from .config_fields import ConfigFields
from .llama import LLAMA, ROTARY_HEADS, llama_shapes
from .mamba2 import (
    MAMBA2_CHANGES,
    MAMBA2_FLOAT32,
    MAMBA2_MODULES,
    MAMBA2_PARAMETERS,
    mamba2_biased,
    mamba2_hyper_parameters,
    mamba2_shapes,
)

__all__ = ["GRANITE", "GRANITE_HYBRID"]

_SCALES = {
    "attention.scale": "attention_multiplier",
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
}
_SHARED_MLP: Mapping[str, str | tuple[str, ...]] = {
    "shared_mlp.input_linear": ("ffn_gate", "ffn_up"),
    "shared_mlp.output_linear": "ffn_down",
}
_MLP = [name for name in LLAMA.layer_modules if name.startswith("mlp.")]
_ATTENTION = [name for name in LLAMA.layer_modules if name.startswith("self_attn.")]
_KINDS = {
    "mamba": "mamba",
    "linear_attention": "mamba",
    "attention": "attention",
    "full_attention": "attention",
}
"""Transformers 5 has other names for the kinds of layers."""


def _has_mixers(fields: ConfigFields) -> bool:
    kinds = fields.get("layer_types", fields.get("layers_block_type"))
    listed = kinds if isinstance(kinds, list) else []
    return any(_KINDS.get(kind) == "mamba" for kind in listed if isinstance(kind, str))


def _is_plain(fields: ConfigFields) -> bool:
    return not _has_mixers(fields)


def _scales(fields: ConfigFields) -> dict[str, float]:
    """The four scales. llama.cpp would divide by √(head size) if the first were missing."""
    return {key: float(fields.number(name, 1.0)) for key, name in _SCALES.items()}


def _shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    hidden, n_ff = sizes["hidden"], sizes["feed_forward"]
    return {
        **llama_shapes(sizes),
        "shared_mlp.input_linear": (2 * n_ff, hidden),
        "shared_mlp.output_linear": (hidden, n_ff),
    }


def _sizes(fields: ConfigFields, _sizes: Sizes) -> Sizes:
    if fields.get("num_local_experts"):
        raise fields.error("Granite with experts is not supported; use a ready GGUF file")
    if fields.get("shared_intermediate_size") is None:
        return {}
    return {"feed_forward": fields.size("shared_intermediate_size")}


def _plain_kinds(fields: ConfigFields, sizes: Sizes) -> tuple[str, ...]:
    shared = fields.get("shared_intermediate_size") is not None
    return ("shared" if shared else "own",) * sizes["layers"]


def _hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    found: dict[str, int | float] = {
        "vocab_size": sizes["vocab"],
        "rope.dimension_count": sizes["head_dim"],
        **_scales(fields),
    }
    if fields.get("shared_intermediate_size") is not None:
        found["rope.scaling.finetuned"] = _rotates(fields)
    return found


def _rotates(fields: ConfigFields) -> bool:
    """llama.cpp reads from an odd key whether queries and keys are rotated."""
    return bool(fields.get("position_embedding_type") == "rope")


GRANITE = Architecture(
    name="granite",
    hf_names=("GraniteForCausalLM", "GraniteMoeHybridForCausalLM"),
    layer_modules={**LLAMA.layer_modules, **_SHARED_MLP},
    global_modules=LLAMA.global_modules,
    shapes=_shapes,
    kinds=_plain_kinds,
    only_in={**dict.fromkeys(_MLP, "own"), **dict.fromkeys(_SHARED_MLP, "shared")},
    changes=ROTARY_HEADS,
    biases=LLAMA.biases,
    rope_types=LLAMA.rope_types,
    sizes=_sizes,
    hyper_parameters=_hyper_parameters,
    text_types=frozenset({"granite"}),
    accepts=_is_plain,
    rope_tensors=True,
    checked_whole=True,
)


def _hybrid_sizes(fields: ConfigFields, sizes: Sizes) -> Sizes:
    inner = fields.size("mamba_expand", 2) * sizes["hidden"]
    found = {
        **_sizes(fields, sizes),
        "ssm_inner": inner,
        "ssm_state": fields.size("mamba_d_state", 256),
        "ssm_groups": fields.size("mamba_n_groups", 1),
        "ssm_heads": fields.size("mamba_n_heads", 128),
        "kernel": fields.size("mamba_d_conv", 4),
    }
    if inner != 2 * sizes["hidden"]:
        raise fields.error(f"mamba_expand is {fields.get('mamba_expand')!r:.50}, llama.cpp has 2")
    if inner % found["ssm_heads"] or inner % found["ssm_groups"]:
        raise fields.error(f"{inner} values are no {found['ssm_heads']} heads of the Mamba mixer")
    return found


def _hybrid_kinds(fields: ConfigFields, sizes: Sizes) -> tuple[str, ...]:
    name = "layer_types" if fields.get("layer_types") is not None else "layers_block_type"
    kinds = fields.choices(name, sizes["layers"], _KINDS)
    if kinds is None:
        raise fields.error("layer_types is missing")
    return tuple(_KINDS[kind] for kind in kinds)


def _hybrid_hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    kinds = _hybrid_kinds(fields, sizes)
    return {
        "attention.head_count_kv": tuple(
            sizes["kv_heads"] if kind == "attention" else 0 for kind in kinds
        ),
        "vocab_size": sizes["vocab"],
        "rope.dimension_count": sizes["head_dim"],
        **mamba2_hyper_parameters(sizes),
        **_scales(fields),
        "rope.scaling.finetuned": _rotates(fields),
    }


GRANITE_HYBRID = Architecture(
    name="granitehybrid",
    hf_names=("GraniteMoeHybridForCausalLM",),
    layer_modules={
        **{k: v for k, v in LLAMA.layer_modules.items() if k not in _MLP},
        **MAMBA2_MODULES,
        **_SHARED_MLP,
    },
    global_modules=LLAMA.global_modules,
    shapes=lambda sizes: {**_shapes(sizes), **mamba2_shapes(sizes)},
    parameters=MAMBA2_PARAMETERS,
    kinds=_hybrid_kinds,
    only_in={
        **dict.fromkeys(_ATTENTION, "attention"),
        **dict.fromkeys([*MAMBA2_MODULES, *MAMBA2_PARAMETERS], "mamba"),
    },
    changes={**ROTARY_HEADS, **MAMBA2_CHANGES},
    float32=MAMBA2_FLOAT32,
    biases=frozenset(_ATTENTION),
    rope_types=frozenset({"default"}),
    biased=mamba2_biased,
    sizes=_hybrid_sizes,
    hyper_parameters=_hybrid_hyper_parameters,
    accepts=_has_mixers,
)

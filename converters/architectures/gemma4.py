"""Gemma 4 without experts, text only.

Layers that see the whole text have larger heads than those that see a window. The last layers use
the keys and values of earlier ones, and may have a wider feed-forward part. In some models the
keys are the values too. Every layer gets an embedding of its own.

Source: conversion/gemma.py and src/models/gemma4.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture, HyperParameters, Sizes
from .config_fields import ConfigFields
from .gemma import GEMMA_NORMS
from .llama import LLAMA, QUERY_KEY_NORMS, llama_shapes, query_key_norm_shapes

__all__ = ["GEMMA4"]

_WINDOW, _WHOLE = "sliding_attention", "full_attention"
_PERIOD = 6
_SHARING = " that shares keys"
_KEYS_ARE_VALUES = " without values"
_OWN_KEYS = frozenset({_WINDOW, _WHOLE, _WHOLE + _KEYS_ARE_VALUES})
_OWN_VALUES = frozenset({_WINDOW, _WHOLE})

_LAYER_INPUTS = {
    "per_layer_input_gate": "inp_gate",
    "per_layer_projection": "proj",
    "post_per_layer_input_norm": "post_norm",
}
_GLOBAL_INPUTS = {
    "embed_tokens_per_layer": "per_layer_token_embd",
    "per_layer_model_projection": "per_layer_model_proj",
    "per_layer_projection_norm": "per_layer_proj_norm",
}


def _sizes(fields: ConfigFields, sizes: Sizes) -> Sizes:
    if fields.get("enable_moe_block"):
        raise fields.error("Gemma 4 with experts is not supported; use a ready GGUF file")
    if fields.get("use_bidirectional_attention") == "all":
        raise fields.error("use_bidirectional_attention of all tokens is not supported")
    if fields.get("attention_bias"):
        raise fields.error("attention_bias is not supported for gemma4")
    layers = sizes["layers"]
    shared = fields.get("num_kv_shared_layers", 0)
    if type(shared) is not int or not 0 <= shared < layers:
        raise fields.error(f"num_kv_shared_layers is {shared!r:.50}, expected 0 to {layers - 1}")
    per_layer = fields.get("hidden_size_per_layer_input", 256)
    if per_layer:
        per_layer = fields.size("hidden_size_per_layer_input", 256)
        rows = fields.size("vocab_size_per_layer_input", sizes["vocab"])
        if rows != sizes["vocab"]:
            raise fields.error(f"vocab_size_per_layer_input is {rows}, not {sizes['vocab']}")
    whole_kv = None
    if fields.get("attention_k_eq_v", False):
        whole_kv = _of_whole_layers(fields, "num_global_key_value_heads", "num_key_value_heads")
    return {
        "shared": shared,
        "per_layer": per_layer or 0,
        "whole_head": _of_whole_layers(fields, "global_head_dim", "head_dim") or 512,
        "whole_kv_heads": whole_kv or sizes["kv_heads"],
        "wide": 2 if fields.get("use_double_wide_mlp") else 1,
    }


def _of_whole_layers(fields: ConfigFields, name: str, inner_name: str) -> int | None:
    """A size of the layers that see everything. Transformers 5 writes it for each of them."""
    if fields.get(name) is not None:
        return fields.size(name)
    found = set()
    layers = fields.inner("per_layer_config")
    for key in layers.values:
        layer = layers.inner(key)
        if layer.get(inner_name) is not None:
            found.add(layer.size(inner_name))
    if len(found) > 1:
        raise fields.error(f"per_layer_config has several values of {inner_name}")
    return found.pop() if found else None


def _layer_types(fields: ConfigFields, sizes: Sizes) -> tuple[str, ...]:
    n = sizes["layers"]
    return fields.choices("layer_types", n, (_WINDOW, _WHOLE)) or tuple(
        _WINDOW if (layer + 1) % _PERIOD and layer + 1 < n else _WHOLE for layer in range(n)
    )


def _kinds(fields: ConfigFields, sizes: Sizes) -> tuple[str, ...]:
    types = _layer_types(fields, sizes)
    first_sharing = sizes["layers"] - sizes["shared"]
    if sizes["shared"] and types[max(0, first_sharing - 2) : first_sharing] != (_WINDOW, _WHOLE):
        raise fields.error(
            "the layers before those that share keys are not one of sliding_attention and one of "
            "full_attention, whose keys llama.cpp shares"
        )
    keys_are_values = _KEYS_ARE_VALUES if fields.get("attention_k_eq_v", False) else ""
    return tuple(
        kind
        + (keys_are_values if kind == _WHOLE else "")
        + (_SHARING if layer >= first_sharing else "")
        for layer, kind in enumerate(types)
    )


def _kind_sizes(sizes: Sizes, kind: str) -> Sizes:
    found = dict(sizes)
    if kind.startswith(_WHOLE):
        found |= {"head_dim": sizes["whole_head"], "kv_heads": sizes["whole_kv_heads"]}
    if kind.endswith(_SHARING):
        found["feed_forward"] *= sizes["wide"]
    return found


def _shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    hidden, inner, n = sizes["hidden"], sizes["per_layer"], sizes["layers"]
    return {
        **llama_shapes(sizes),
        **query_key_norm_shapes(sizes),
        **dict.fromkeys(GEMMA_NORMS, (hidden,)),
        "layer_scalar": (1,),
        "per_layer_input_gate": (inner, hidden),
        "per_layer_projection": (hidden, inner),
        "post_per_layer_input_norm": (hidden,),
        "embed_tokens_per_layer": (sizes["vocab"], n * inner),
        "per_layer_model_projection": (n * inner, hidden),
        "per_layer_projection_norm": (inner,),
    }


def _without(_fields: ConfigFields, sizes: Sizes) -> frozenset[str]:
    return frozenset() if sizes["per_layer"] else frozenset({*_LAYER_INPUTS, *_GLOBAL_INPUTS})


def _hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    local = fields.inner("rope_parameters").inner("sliding_attention")
    if local.get("rope_type", "default") != "default":
        raise fields.error("RoPE scaling of the sliding_attention layers is not supported")
    types, kinds = _layer_types(fields, sizes), _kinds(fields, sizes)
    all_sizes = [_kind_sizes(sizes, kind) for kind in kinds]
    whole = sizes["whole_head"]
    found: dict[str, int | float | tuple[int, ...]] = {
        "attention.sliding_window": fields.size("sliding_window", 512),
        "attention.sliding_window_pattern": tuple(kind == _WINDOW for kind in types),
        "attention.shared_kv_layers": sizes["shared"],
        "embedding_length_per_layer_input": sizes["per_layer"],
        "attention.key_length": whole,
        "attention.value_length": whole,
        "attention.key_length_swa": sizes["head_dim"],
        "attention.value_length_swa": sizes["head_dim"],
        "rope.dimension_count": whole,
        "rope.dimension_count_swa": sizes["head_dim"],
        "rope.freq_base_swa": float(local.number("rope_theta", 10_000.0)),
    }
    if sizes["wide"] > 1:
        found["feed_forward_length"] = tuple(one["feed_forward"] for one in all_sizes)
    if sizes["whole_kv_heads"] != sizes["kv_heads"]:
        found["attention.head_count_kv"] = tuple(one["kv_heads"] for one in all_sizes)
    has_cap = fields.get("final_logit_softcapping") is not None
    # Without the key llama.cpp takes 30.
    found["final_logit_softcapping"] = (
        float(fields.number("final_logit_softcapping")) if has_cap else 0.0
    )
    return found


GEMMA4 = Architecture(
    name="gemma4",
    hf_names=("Gemma4ForCausalLM", "Gemma4ForConditionalGeneration"),
    layer_modules={
        **LLAMA.layer_modules,
        **QUERY_KEY_NORMS,
        **GEMMA_NORMS,
        **_LAYER_INPUTS,
    },
    global_modules={**LLAMA.global_modules, **_GLOBAL_INPUTS},
    shapes=_shapes,
    parameters={"layer_scalar": "layer_output_scale.weight"},
    kinds=_kinds,
    kind_sizes=_kind_sizes,
    only_in={
        "self_attn.k_proj": _OWN_KEYS,
        "self_attn.k_norm": _OWN_KEYS,
        "self_attn.v_proj": _OWN_VALUES,
    },
    without=_without,
    no_lora=frozenset({"embed_tokens_per_layer", "per_layer_model_projection"}),
    activations=frozenset({"gelu_pytorch_tanh"}),
    rope_types=frozenset({"proportional"}),
    rope_theta=1_000_000.0,
    tied_head=True,
    defaults={
        "vocab_size": 262_144,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131_072,
        "rms_norm_eps": 1e-6,
    },
    sizes=_sizes,
    hyper_parameters=_hyper_parameters,
)

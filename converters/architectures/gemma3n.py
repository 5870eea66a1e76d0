"""Gemma 3n, text only.

Four versions of every value run through the layers (AltUp), with a small detour beside attention
(LAuReL) and an embedding of its own for every layer. llama.cpp's graph fixes some sizes and which
layers are sparse, and that the first twenty layers have keys and values. The others use those,
but the file holds tensors for them. In sparse layers llama.cpp takes the standard deviation of a
sample and Transformers that of all values; at the widths of published models that is 3e-5 of it.

Source: conversion/gemma.py and src/models/gemma3n.cpp of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture, HyperParameters, Sizes
from .config_fields import ConfigFields
from .gemma import GEMMA_NORMS
from .llama import LLAMA, QUERY_KEY_NORMS, llama_shapes, query_key_norm_shapes

__all__ = ["GEMMA3N"]

_WINDOW, _WHOLE = "sliding_attention", "full_attention"
_PERIOD = 5
_OWN_KEYS = 20
_SPARSE_LAYERS = 10
_SPARSITY = 0.95
_ALTUPS, _RANK, _INNER = 4, 64, 256
_SOFTCAP = 30.0
_FIXED = {
    "altup_num_inputs": _ALTUPS,
    "altup_active_idx": 0,
    "laurel_rank": _RANK,
    "hidden_size_per_layer_input": _INNER,
    "final_logit_softcapping": _SOFTCAP,
}

_LAYER_INPUTS = {
    "altup.correction_coefs": "altup_correct_coef",
    "altup.prediction_coefs": "altup_predict_coef",
    "altup.modality_router": "altup_router",
    "altup.router_norm": "altup_router_norm",
    "laurel.linear_left": "laurel_l",
    "laurel.linear_right": "laurel_r",
    "laurel.post_laurel_norm": "laurel_post_norm",
    "per_layer_input_gate": "inp_gate",
    "per_layer_projection": "proj",
    "post_per_layer_input_norm": "post_norm",
}
_GLOBAL_INPUTS = {
    "embed_tokens_per_layer": "per_layer_token_embd",
    "per_layer_model_projection": "per_layer_model_proj",
    "per_layer_projection_norm": "per_layer_proj_norm",
    "altup_projections.*": "altup_proj",
    "altup_unembed_projections.*": "altup_unembd_proj",
}


def _sizes(fields: ConfigFields, sizes: Sizes) -> Sizes:
    for name, fixed in _FIXED.items():
        if fields.get(name, fixed) != fixed:
            raise fields.error(f"{name} is {fields.get(name)!r:.50}, llama.cpp computes {fixed}")
    if fields.get("altup_correct_scale", True) is not True:
        raise fields.error("altup_correct_scale is not true, as llama.cpp computes")
    layers, shared = sizes["layers"], fields.get("num_kv_shared_layers", 15)
    if type(shared) is not int or layers - shared != _OWN_KEYS:
        raise fields.error(
            f"{layers} layers of which {shared!r:.50} share keys (num_kv_shared_layers); "
            f"llama.cpp computes {_OWN_KEYS} with keys of their own"
        )
    pattern = fields.get("activation_sparsity_pattern")
    expected = [_SPARSITY] * _SPARSE_LAYERS + [0.0] * (layers - _SPARSE_LAYERS)
    if pattern is not None and pattern != expected:
        raise fields.error(
            f"activation_sparsity_pattern is not {_SPARSITY} for {_SPARSE_LAYERS} layers, "
            "as llama.cpp computes"
        )
    return {"altups": _ALTUPS - 1, "shared": shared}


def _types(fields: ConfigFields, sizes: Sizes) -> tuple[str, ...]:
    n = sizes["layers"]
    kinds = fields.choices("layer_types", n, (_WINDOW, _WHOLE)) or tuple(
        _WINDOW if (layer + 1) % _PERIOD else _WHOLE for layer in range(n)
    )
    if kinds[_OWN_KEYS - 2 : _OWN_KEYS] != (_WINDOW, _WHOLE):
        raise fields.error(
            f"layers {_OWN_KEYS - 2} and {_OWN_KEYS - 1} are not one of sliding_attention and one "
            "of full_attention, whose keys llama.cpp shares"
        )
    return kinds


def _shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    hidden, n, altups = sizes["hidden"], sizes["layers"], _ALTUPS
    inner, rank = _INNER, _RANK
    return {
        **llama_shapes(sizes),
        **query_key_norm_shapes(sizes),
        **dict.fromkeys(GEMMA_NORMS, (hidden,)),
        "altup.correction_coefs": (altups, altups),
        "altup.prediction_coefs": (altups * altups, altups),
        "altup.modality_router": (altups, hidden),
        "altup.router_norm": (hidden,),
        "altup.correct_output_scale": (hidden,),
        "laurel.linear_left": (rank, hidden),
        "laurel.linear_right": (hidden, rank),
        "laurel.post_laurel_norm": (hidden,),
        "per_layer_input_gate": (inner, hidden),
        "per_layer_projection": (hidden, inner),
        "post_per_layer_input_norm": (hidden,),
        "embed_tokens_per_layer": (sizes["vocab"], n * inner),
        "per_layer_model_projection": (n * inner, hidden),
        "per_layer_projection_norm": (inner,),
        "altup_projections.*": (altups - 1, hidden, hidden),
        "altup_unembed_projections.*": (altups - 1, hidden, hidden),
    }


def _hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    local = fields.inner("rope_parameters").inner("sliding_attention")
    if local.get("rope_type", "default") != "default":
        raise fields.error("RoPE scaling of the sliding_attention layers is not supported")
    types = _types(fields, sizes)
    theta = fields.number("rope_local_base_freq", 10_000.0)
    return {
        "attention.sliding_window": fields.size("sliding_window", 512),
        "attention.sliding_window_pattern": tuple(kind == _WINDOW for kind in types),
        "attention.shared_kv_layers": sizes["shared"],
        "altup.active_idx": 0,
        "altup.num_inputs": _ALTUPS,
        "embedding_length_per_layer_input": _INNER,
        "rope.freq_base_swa": float(local.number("rope_theta", theta)),
        "final_logit_softcapping": _SOFTCAP,
    }


GEMMA3N = Architecture(
    name="gemma3n",
    hf_names=("Gemma3nForCausalLM", "Gemma3nForConditionalGeneration"),
    layer_modules={**LLAMA.layer_modules, **QUERY_KEY_NORMS, **GEMMA_NORMS, **_LAYER_INPUTS},
    global_modules={**LLAMA.global_modules, **_GLOBAL_INPUTS},
    shapes=_shapes,
    parameters={"altup.correct_output_scale": "altup_correct_scale.weight"},
    stacks={"altup_projections.*": "altups", "altup_unembed_projections.*": "altups"},
    padded=frozenset({"embed_tokens", "embed_tokens_per_layer"}),
    unused={
        "self_attn.k_proj": _OWN_KEYS,
        "self_attn.v_proj": _OWN_KEYS,
        "self_attn.k_norm": _OWN_KEYS,
    },
    no_lora=frozenset(
        {"embed_tokens_per_layer", "per_layer_model_projection", "altup.modality_router"}
    ),
    float32=frozenset({"altup.correction_coefs", "altup.prediction_coefs"}),
    activations=frozenset({"gelu_pytorch_tanh"}),
    rope_types=frozenset({"default"}),
    rope_theta=1_000_000.0,
    tied_head=True,
    defaults={
        "vocab_size": 262_400,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "max_position_embeddings": 32_768,
        "rms_norm_eps": 1e-6,
    },
    sizes=_sizes,
    hyper_parameters=_hyper_parameters,
)

"""Gemma 1, 2 and 3, text only.

The norms are stored as their difference from one. From Gemma 2 on each layer has four, and most
layers see only a window of the text; llama.cpp's graph fixes by a period which layers these are.
The graph also scales the embeddings.

Source: conversion/gemma.py, src/models/gemma2.cpp and gemma3.cpp of llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from .architecture import Architecture, HyperParameters, Sizes
from .config_fields import ConfigFields
from .llama import LLAMA, QUERY_KEY_NORMS, llama_shapes, query_key_norm_shapes

__all__ = ["GEMMA", "GEMMA2", "GEMMA3", "GEMMA_NORMS"]

_GEMMA3_DEFAULTS = {
    "vocab_size": 262_208,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131_072,
    "rms_norm_eps": 1e-6,
}
"""What the text config of the multimodal models leaves out."""

GEMMA_NORMS: Mapping[str, str] = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
"""The norms before and after feed-forward, and after attention, of every model since Gemma 2."""


def _gemma2_shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    return {**llama_shapes(sizes), **dict.fromkeys(GEMMA_NORMS, (sizes["hidden"],))}


def _gemma3_shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    return {**_gemma2_shapes(sizes), **query_key_norm_shapes(sizes)}


def _check_scale(fields: ConfigFields, sizes: Sizes, largest: int) -> None:
    """llama.cpp divides by √(head size), but by √(hidden / heads) in the largest model."""
    is_largest = sizes["layers"] == largest
    expected = sizes["hidden"] // sizes["heads"] if is_largest else sizes["head_dim"]
    given = fields.number("query_pre_attn_scalar", 256)
    if not math.isclose(given, expected):
        raise fields.error(
            f"query_pre_attn_scalar is {given:g}, but llama.cpp computes with {expected}"
        )


def _check_windows(fields: ConfigFields, sizes: Sizes, period: int) -> None:
    """Every ``period``-th layer sees the whole text, the others see a window."""
    kinds = fields.get("layer_types")
    if kinds is None:
        given = fields.get("sliding_window_pattern", fields.get("_sliding_window_pattern", period))
        if given != period:
            raise fields.error(
                f"sliding_window_pattern is {given!r:.50}, llama.cpp computes with {period}"
            )
        return
    expected = [
        "sliding_attention" if (layer + 1) % period else "full_attention"
        for layer in range(sizes["layers"])
    ]
    if kinds != expected:
        raise fields.error(
            f"layer_types is not {period - 1} layers of sliding_attention and then one of "
            "full_attention, as llama.cpp computes"
        )


def _gemma2(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    _check_scale(fields, sizes, largest=46)
    _check_windows(fields, sizes, period=2)
    return {
        "attn_logit_softcapping": float(fields.number("attn_logit_softcapping")),
        "final_logit_softcapping": float(fields.number("final_logit_softcapping")),
        "attention.sliding_window": fields.size("sliding_window"),
    }


def _gemma3(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    _check_scale(fields, sizes, largest=62)
    _check_windows(fields, sizes, period=6)
    if fields.get("attn_logit_softcapping") is not None:
        raise fields.error("attn_logit_softcapping is not supported for gemma3")
    if fields.get("use_bidirectional_attention"):
        raise fields.error("use_bidirectional_attention is not supported")
    local = fields.inner("rope_parameters").inner("sliding_attention")
    if local.get("rope_type", "default") != "default":
        raise fields.error("RoPE scaling of the sliding_attention layers is not supported")
    found: dict[str, int | float] = {
        "attention.sliding_window": fields.size("sliding_window"),
        "rope.freq_base_swa": float(
            local.number("rope_theta", fields.number("rope_local_base_freq", 10_000.0))
        ),
    }
    if fields.get("final_logit_softcapping") is not None:
        found["final_logit_softcapping"] = float(fields.number("final_logit_softcapping"))
    return found


def _gemma(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    # Published configs name the plain GELU, and Transformers computes its approximation.
    if fields.get("use_bidirectional_attention"):
        raise fields.error("use_bidirectional_attention is not supported")
    return {"attention.key_length": sizes["head_dim"], "attention.value_length": sizes["head_dim"]}


GEMMA = Architecture(
    name="gemma",
    hf_names=("GemmaForCausalLM",),
    layer_modules=LLAMA.layer_modules,
    global_modules=LLAMA.global_modules,
    shapes=llama_shapes,
    norm_offset=1.0,
    activations=frozenset({"gelu_pytorch_tanh", "gelu"}),
    rope_types=frozenset({"default"}),
    tied_head=True,
    own_head=False,
    defaults={"head_dim": 256},
    hyper_parameters=_gemma,
    checked_whole=True,
    scales_all_inputs=True,
)

GEMMA2 = Architecture(
    name="gemma2",
    hf_names=("Gemma2ForCausalLM",),
    layer_modules={**LLAMA.layer_modules, **GEMMA_NORMS},
    global_modules=LLAMA.global_modules,
    shapes=_gemma2_shapes,
    norm_offset=1.0,
    activations=frozenset({"gelu_pytorch_tanh"}),
    rope_types=frozenset({"default"}),
    tied_head=True,
    own_head=False,
    scales_all_inputs=True,
    hyper_parameters=_gemma2,
    checked_whole=True,
)

GEMMA3 = Architecture(
    name="gemma3",
    hf_names=("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
    layer_modules={**GEMMA2.layer_modules, **QUERY_KEY_NORMS},
    global_modules=LLAMA.global_modules,
    shapes=_gemma3_shapes,
    norm_offset=1.0,
    activations=frozenset({"gelu_pytorch_tanh"}),
    rope_types=frozenset({"default", "linear"}),
    rope_theta=1_000_000.0,
    tied_head=True,
    defaults=_GEMMA3_DEFAULTS,
    hyper_parameters=_gemma3,
    checked_whole=True,
)

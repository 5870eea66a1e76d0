"""OLMo 2 and 3: norms after attention and feed-forward, and on whole queries and keys.

Most layers of OLMo 3 see a window of the text. Only its other layers have a RoPE scaling.

Source: conversion/olmo.py and src/models/olmo2.cpp of llama.cpp.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from .architecture import Architecture, HyperParameters, Sizes
from .config_fields import ConfigFields
from .llama import LLAMA, POST_NORM_MODULES, QUERY_KEY_NORMS, post_norm_shapes

__all__ = ["OLMO2"]

_PERIOD = 4
_THETA = 500_000.0
_KINDS = ("sliding_attention", "full_attention")


def _shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    return {
        **post_norm_shapes(sizes),
        "self_attn.q_norm": (sizes["heads"] * sizes["head_dim"],),
        "self_attn.k_norm": (sizes["kv_heads"] * sizes["head_dim"],),
    }


def _hyper_parameters(fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    if fields.get("sliding_window") is None:
        return {}
    kinds = fields.choices("layer_types", sizes["layers"], _KINDS) or tuple(
        _KINDS[(layer + 1) % _PERIOD == 0] for layer in range(sizes["layers"])
    )
    rope = fields.inner("rope_parameters")
    local, whole = rope.inner("sliding_attention"), rope.inner("full_attention")
    if local.get("rope_type", "default") != "default":
        raise fields.error("RoPE scaling of the sliding_attention layers is not supported")
    theta = fields.number("rope_theta", _THETA)
    theta = whole.number("rope_theta", rope.number("rope_theta", theta))
    if not math.isclose(local.number("rope_theta", theta), theta):
        raise fields.error("rope_theta differs between the kinds of layers")
    return {
        "rope.freq_base_swa": float(theta),
        "attention.sliding_window": fields.size("sliding_window"),
        "attention.sliding_window_pattern": tuple(kind == _KINDS[0] for kind in kinds),
    }


OLMO2 = Architecture(
    name="olmo2",
    hf_names=("Olmo2ForCausalLM", "Olmo3ForCausalLM"),
    layer_modules={**POST_NORM_MODULES, **QUERY_KEY_NORMS},
    global_modules=LLAMA.global_modules,
    shapes=_shapes,
    rope_types=frozenset({"default", "yarn"}),
    rope_theta=_THETA,
    head_fills_hidden=True,
    may_tie=False,
    hyper_parameters=_hyper_parameters,
    checked_whole=True,
)

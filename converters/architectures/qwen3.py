"""Qwen 3, dense: Llama's modules with a norm on queries and keys.

The rows keep their order.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture, Sizes
from .llama import LLAMA, QUERY_KEY_NORMS, llama_shapes, query_key_norm_shapes

__all__ = ["QWEN3"]


def _shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    return {**llama_shapes(sizes), **query_key_norm_shapes(sizes)}


QWEN3 = Architecture(
    name="qwen3",
    hf_names=("Qwen3ForCausalLM",),
    layer_modules={**LLAMA.layer_modules, **QUERY_KEY_NORMS},
    global_modules=LLAMA.global_modules,
    shapes=_shapes,
    biases=frozenset({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}),
    text_types=frozenset({"qwen3", "qwen3_vl_text"}),
    checked_whole=True,
)

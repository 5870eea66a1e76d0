"""Qwen 3, dense: Llama's modules plus a norm on queries and keys, rows left in order."""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture
from .llama import LLAMA, llama_shapes

__all__ = ["QWEN3"]


def _shapes(sizes: Mapping[str, int]) -> Mapping[str, tuple[int, ...]]:
    head = (sizes["head_dim"],)
    return {**llama_shapes(sizes), "self_attn.q_norm": head, "self_attn.k_norm": head}


QWEN3 = Architecture(
    name="qwen3",
    hf_names=("Qwen3ForCausalLM",),
    layer_modules={
        **LLAMA.layer_modules,
        "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
    },
    global_modules=LLAMA.global_modules,
    shapes=_shapes,
    biases=frozenset({"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}),
)

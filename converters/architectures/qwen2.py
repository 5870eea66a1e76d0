"""Qwen 2 and 2.5, dense: Llama's modules with biases on queries, keys and values.

The rows keep their order.
"""

from __future__ import annotations

from .architecture import Architecture
from .llama import LLAMA, llama_shapes

__all__ = ["QWEN2"]

QWEN2 = Architecture(
    name="qwen2",
    hf_names=("Qwen2ForCausalLM",),
    layer_modules=LLAMA.layer_modules,
    global_modules=LLAMA.global_modules,
    shapes=llama_shapes,
    biases=frozenset(f"self_attn.{name}_proj" for name in "qkv"),
    fixed_biases=frozenset(f"self_attn.{name}_proj" for name in "qkv"),
    head_fills_hidden=True,
    text_types=frozenset({"qwen2", "qwen2_vl_text", "qwen2_5_vl_text"}),
    checked_whole=True,
)

"""Architectures that llama.cpp runs and the converter does not write: bases that are ready GGUF.

The names of their tensors come from the tables of the ``gguf`` package. An adapter needs one thing
that no table has: whether llama.cpp's converter left the rows of queries and keys in their order.
Only architectures for which that was read in its source are listed here, and only attention and
the feed-forward part are named: other tensors are changed on the way in many ways.

Source: ``gguf/tensor_mapping.py`` of gguf 0.19, and ``modify_tensors`` in the files of
``conversion/`` of llama.cpp.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

from .architecture import Architecture
from .changes import Change
from .llama import LLAMA

__all__ = ["READY", "ready_architecture"]

_IN_ORDER = frozenset(
    {
        *("afmoe", "apertus", "codeshell", "cohere2", "command-r", "dots1", "dream", "exaone"),
        *("exaone-moe", "ernie4_5-moe", "glm4moe", "gpt-oss", "gpt2"),
        *("hunyuan-moe", "jais2", "lfm2moe", "llama4", "maincoder", "mpt", "nemotron", "olmoe"),
        *("openelm", "orion", "pangu-embedded", "phi2", "phimoe", "qwen2moe", "rnd1"),
        *("seed_oss", "smallthinker", "stablelm", "starcoder", "starcoder2"),
    }
)
"""Rows are as in Transformers."""

_PERMUTED = frozenset(
    {*("arcee", "deci", "deepseek", "granitemoe", "llada", "minicpm", "olmo", "xverse")}
)
"""Rows of queries and keys are reordered as Llama's."""

READY = _IN_ORDER | _PERMUTED
"""The names of these architectures in ``general.architecture``."""

_TENSORS = frozenset(
    {
        *("attn_q", "attn_k", "attn_v", "attn_qkv", "attn_output"),
        *("ffn_gate", "ffn_up", "ffn_down"),
    }
)


@functools.lru_cache(maxsize=8)
def ready_architecture(name: str) -> Architecture:
    """The architecture ``name``, one of `READY`, for adapters of attention and feed-forward."""
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    kind = next(kind for kind, known in MODEL_ARCH_NAMES.items() if known == name)
    modules: dict[str, str] = {}
    changes: dict[str, Change] = {}
    for source, (_, tensor) in get_tensor_name_map(kind, 1).mapping.items():
        stem = tensor.removeprefix("blk.0.")
        if stem not in _TENSORS or ".0." not in source:
            continue
        module = source.split(".0.", 1)[1]
        modules[module] = stem
        if name in _PERMUTED and stem in _ORDERS:
            changes[module] = _ORDERS[stem]
    return Architecture(
        name=name,
        hf_names=(),
        layer_modules=modules,
        global_modules=LLAMA.global_modules,
        shapes=lambda _: {},
        changes=changes,
    )


_ORDERS: Mapping[str, Change] = {
    "attn_q": LLAMA.changes["self_attn.q_proj"],
    "attn_k": LLAMA.changes["self_attn.k_proj"],
}

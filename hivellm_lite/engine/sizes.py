"""Sizes that contexts are made with, known without loading llama.cpp."""

from __future__ import annotations

__all__ = [
    "GRAPH_BYTES",
    "KV_BYTES",
    "N_BATCH",
    "N_OUTPUTS",
    "N_UBATCH_SCORES",
    "PAD",
    "compute_bytes",
]

N_BATCH = 512
"""Tokens of a prompt that are decoded in one call."""

N_UBATCH_SCORES = 128
"""Tokens that are computed in one pass without flash attention, which then needs a buffer for
the scores of each of them with every position: four times less than with 512, and faster."""

N_OUTPUTS = 64
"""Positions of one call that may give logits. llama.cpp reserves this many rows
of the vocabulary's size: 512 of them would cost 311 MB for Qwen3, 64 cost 39."""

PAD = 256
"""llama.cpp rounds the positions of a stream up to a multiple of this."""

KV_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32}
"""Bytes of one number in the KV cache, by its type."""


GRAPH_BYTES = 64 << 20
"""What llama.cpp reserves to describe a graph, most of it never used: ``context_buffer_size`` in
ggml-backend.cpp (41 MB), and the graphs themselves for models of some thirty layers."""


def compute_bytes(
    *, n_vocab: int, n_embd: int, n_head: int, n_ctx: int, n_streams: int, flash_attention: bool
) -> int:
    """Bytes that a CPU needs for logits, attention scores or mask, and activations."""
    n_bytes = 4 * N_OUTPUTS * n_vocab
    if flash_attention:
        n_bytes += N_BATCH * (2 * n_ctx + 4 * n_embd)
    else:
        scores = 4 * (n_head + 1) * n_ctx * N_UBATCH_SCORES
        n_bytes = max(n_bytes, scores) + 16 * n_embd * N_UBATCH_SCORES
    return n_bytes + 4 * n_streams * n_vocab

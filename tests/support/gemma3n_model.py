"""Writes a small Gemma 3n with weights that the same number always gives.

llama.cpp fixes so many of its sizes that a file of it is too large to keep. Its weights are made
anew wherever they are needed, from bits that numpy promises never to change. Sparse layers have no
feed-forward part: llama.cpp divides by one less than Transformers there, which only
the widths of published models hide.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .paths import MODELS

__all__ = ["write_gemma3n"]

VOCABULARY, HIDDEN, HEADS, KV_HEADS, HEAD, FEED_FORWARD = 480, 64, 4, 2, 16, 32
LAYERS, SHARED, SPARSE, INNER, RANK, ALTUPS = 22, 2, 10, 256, 64, 4
AFTER_GELU = 0.005
"""Weight of the norms after a GELU, which is a table of float16 in llama.cpp."""

CONFIG = {
    "architectures": ["Gemma3nForCausalLM"],
    "model_type": "gemma3n_text",
    "vocab_size": VOCABULARY,
    "vocab_size_per_layer_input": VOCABULARY - 4,
    "hidden_size": HIDDEN,
    "intermediate_size": [FEED_FORWARD] * LAYERS,
    "num_hidden_layers": LAYERS,
    "num_kv_shared_layers": SHARED,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "sliding_window": 8,
    "final_logit_softcapping": 30.0,
    "hidden_size_per_layer_input": INNER,
    "laurel_rank": RANK,
    "altup_num_inputs": ALTUPS,
    "activation_sparsity_pattern": [0.95] * SPARSE + [0.0] * (LAYERS - SPARSE),
    "bos_token_id": 2,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "tie_word_embeddings": True,
    "dtype": "float32",
}


Weights = dict[str, npt.NDArray[np.float32]]


def write_gemma3n(folder: Path, as_safetensors: Callable[[Weights], bytes]) -> Path:
    """Write the whole model folder, and return it."""
    shutil.copytree(MODELS / "tiny-gemma4", folder)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "model.safetensors").write_bytes(as_safetensors(_weights()))
    return folder


def _weights() -> Weights:
    bits = np.random.PCG64(50)

    def noise(*shape: int, scale: float = 0.0) -> npt.NDArray[np.float32]:
        """Uniform, of variance 1 times ``scale``², by default what keeps the size of values."""
        raw = bits.random_raw(math.prod(shape)) >> np.uint64(40)
        values = (raw.astype(np.float64) / 2**23 - 1) * math.sqrt(3)
        values *= scale or 1.5 / math.sqrt(shape[-1])
        result: npt.NDArray[np.float32] = values.reshape(shape).astype(np.float32)
        return result

    def norm(size: int, at: float = 1.0) -> npt.NDArray[np.float32]:
        return np.float32(at) * (1 + noise(size, scale=0.2))

    found = {
        "embed_tokens": noise(VOCABULARY, HIDDEN, scale=0.5),
        "embed_tokens_per_layer": noise(VOCABULARY - 4, LAYERS * INNER, scale=0.5),
        "per_layer_model_projection": noise(LAYERS * INNER, HIDDEN),
        "per_layer_projection_norm": norm(INNER),
        "norm": norm(HIDDEN),
    }
    for i in range(ALTUPS - 1):
        found[f"altup_projections.{i}"] = noise(HIDDEN, HIDDEN)
        found[f"altup_unembed_projections.{i}"] = noise(HIDDEN, HIDDEN)
    for i in range(LAYERS):
        layer = {
            "self_attn.q_proj": noise(HEADS * HEAD, HIDDEN),
            "self_attn.k_proj": noise(KV_HEADS * HEAD, HIDDEN),
            "self_attn.v_proj": noise(KV_HEADS * HEAD, HIDDEN),
            "self_attn.o_proj": noise(HIDDEN, HEADS * HEAD),
            "self_attn.q_norm": norm(HEAD),
            "self_attn.k_norm": norm(HEAD),
            "mlp.gate_proj": noise(FEED_FORWARD, HIDDEN),
            "mlp.up_proj": noise(FEED_FORWARD, HIDDEN),
            "mlp.down_proj": noise(HIDDEN, FEED_FORWARD),
            "input_layernorm": norm(HIDDEN),
            "post_attention_layernorm": norm(HIDDEN),
            "pre_feedforward_layernorm": norm(HIDDEN),
            "post_feedforward_layernorm": norm(HIDDEN, 0.0 if i < SPARSE else AFTER_GELU),
            "altup.correction_coefs": noise(ALTUPS, ALTUPS),
            "altup.prediction_coefs": noise(ALTUPS * ALTUPS, ALTUPS),
            "altup.modality_router": noise(ALTUPS, HIDDEN),
            "altup.router_norm": norm(HIDDEN),
            "laurel.linear_left": noise(RANK, HIDDEN),
            "laurel.linear_right": noise(HIDDEN, RANK),
            "laurel.post_laurel_norm": norm(HIDDEN),
            "per_layer_input_gate": noise(INNER, HIDDEN),
            "per_layer_projection": noise(HIDDEN, INNER),
            "post_per_layer_input_norm": norm(HIDDEN, AFTER_GELU),
        }
        if i >= LAYERS - SHARED:  # as Transformers 5 saves them
            for name in ("k_proj", "v_proj", "k_norm"):
                del layer[f"self_attn.{name}"]
        found |= {f"layers.{i}.{name}": values for name, values in layer.items()}
    named = {f"model.{name}.weight": values for name, values in found.items()}
    for i in range(LAYERS):
        named[f"model.layers.{i}.altup.correct_output_scale"] = noise(HIDDEN, scale=0.3)
    return named

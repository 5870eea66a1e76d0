"""Llama and the models that share its graph: SmolLM2, Llama 2 and 3, Mistral 7B.

Transformers rotates row i with row i + d/2, llama.cpp rotates neighbouring rows. The rows of the
query and key projections are therefore reordered within each head.
"""

from __future__ import annotations

from collections.abc import Mapping

from .architecture import Architecture, HyperParameters, Sizes
from .changes import Change, RotaryHeads
from .config_fields import ConfigFields

__all__ = [
    "LLAMA",
    "POST_NORM_MODULES",
    "QUERY_KEY_NORMS",
    "ROTARY_HEADS",
    "llama_shapes",
    "post_norm_shapes",
    "query_key_norm_shapes",
]

ROTARY_HEADS: Mapping[str, Change] = {
    "self_attn.q_proj": Change(rows=RotaryHeads("heads")),
    "self_attn.k_proj": Change(rows=RotaryHeads("kv_heads")),
}
"""The rows of queries and keys in graphs that rotate neighbouring rows."""

QUERY_KEY_NORMS: Mapping[str, str] = {
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
}
"""Norms that newer relatives of Llama put on the queries and keys of each head."""

_POST_NORMS = {
    "post_attention_layernorm": "post_attention_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def llama_shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    """Shapes (out, in) of every module's weight, by Transformers' module name."""
    n_embd, n_ff, n_vocab = sizes["hidden"], sizes["feed_forward"], sizes["vocab"]
    n_q = sizes["heads"] * sizes["head_dim"]
    n_kv = sizes["kv_heads"] * sizes["head_dim"]
    return {
        "embed_tokens": (n_vocab, n_embd),
        "norm": (n_embd,),
        "lm_head": (n_vocab, n_embd),
        "input_layernorm": (n_embd,),
        "self_attn.q_proj": (n_q, n_embd),
        "self_attn.k_proj": (n_kv, n_embd),
        "self_attn.v_proj": (n_kv, n_embd),
        "self_attn.o_proj": (n_embd, n_q),
        "post_attention_layernorm": (n_embd,),
        "mlp.gate_proj": (n_ff, n_embd),
        "mlp.up_proj": (n_ff, n_embd),
        "mlp.down_proj": (n_embd, n_ff),
    }


def query_key_norm_shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    """Shapes (head size,) of `QUERY_KEY_NORMS`."""
    return dict.fromkeys(QUERY_KEY_NORMS, (sizes["head_dim"],))


def post_norm_shapes(sizes: Sizes) -> Mapping[str, tuple[int, ...]]:
    """Shapes (out, in) of a model with `POST_NORM_MODULES`; of norms (hidden size,)."""
    return {**llama_shapes(sizes), **dict.fromkeys(_POST_NORMS, (sizes["hidden"],))}


def _hyper_parameters(_fields: ConfigFields, sizes: Sizes) -> HyperParameters:
    return {"vocab_size": sizes["vocab"], "rope.dimension_count": sizes["head_dim"]}


LLAMA = Architecture(
    name="llama",
    hf_names=("LlamaForCausalLM", "MistralForCausalLM"),
    layer_modules={
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    },
    global_modules={"embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"},
    shapes=llama_shapes,
    changes=ROTARY_HEADS,
    biases=frozenset(f"self_attn.{name}_proj" for name in "qkvo")
    | {"mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"},
    rope_types=frozenset({"default", "linear", "llama3", "yarn"}),
    text_types=frozenset({"llama", "mistral"}),
    rope_tensors=True,
    checked_whole=True,
    hyper_parameters=_hyper_parameters,
)

POST_NORM_MODULES: Mapping[str, str | tuple[str, ...]] = {
    **{name: gguf for name, gguf in LLAMA.layer_modules.items() if name != "input_layernorm"},
    **_POST_NORMS,
}
"""The modules of a layer whose norms stand after attention and feed-forward, not before them."""

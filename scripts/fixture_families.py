"""Tiny models of the architectures that came after Llama, Qwen 3, Gemma 3 and Phi."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from fixture_models import LLAMA3, common, randomise
from fixture_tokenizers import save_tokenizer

__all__ = ["FAMILIES"]


def save(folder: Path, model: torch.nn.Module, seed: int, norm: float = 1.0) -> None:
    randomise(model, seed, norm)
    model.to(torch.bfloat16).save_pretrained(folder)


def make(
    name: str, seed: int, kind: str = "qwen2", layers: int = 2, **options: Any
) -> Callable[[Path], None]:
    """A maker of a tiny ``{name}ForCausalLM`` with the tokenizer ``kind``."""

    def write(folder: Path) -> None:
        tokenizer = save_tokenizer(kind, folder)
        usual = common(tokenizer, tokenizer.get_vocab_size())
        usual |= {"num_hidden_layers": layers, "intermediate_size": 64, "pad_token_id": None}
        config = getattr(transformers, f"{name}Config")(**(usual | options))
        save(folder, getattr(transformers, f"{name}ForCausalLM")(config), seed)

    return write


def make_gemma3_whole(folder: Path) -> None:
    """A multimodal model, as Gemma 3 4B is: its text model is what we convert."""
    tokenizer = save_tokenizer("gemma", folder)
    text = common(tokenizer, tokenizer.get_vocab_size() + 64)
    text |= {"num_hidden_layers": 6, "sliding_window": 8, "pad_token_id": 0}
    text |= {"head_dim": 16, "query_pre_attn_scalar": 16, "intermediate_size": 32}
    config = transformers.Gemma3Config(
        text_config=text,
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 32,
            "patch_size": 16,
        },
        mm_tokens_per_image=4,
        boi_token_index=3,
        eoi_token_index=4,
        image_token_index=5,
        dtype="bfloat16",
        attn_implementation="eager",
    )
    save(folder, transformers.Gemma3ForConditionalGeneration(config), 21, norm=0.0)


OLMO3_ROPE = {
    "full_attention": {
        "rope_type": "yarn",
        "rope_theta": 10000.0,
        "factor": 4.0,
        "original_max_position_embeddings": 128,
    },
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}

MINISTRAL3_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 32,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}

FAMILIES: dict[str, Callable[[Path], None]] = {
    "tiny-gemma3-whole": make_gemma3_whole,
    "tiny-granite": make(
        "Granite",
        22,
        tie_word_embeddings=True,
        attention_multiplier=0.2,
        embedding_multiplier=3.0,
        residual_multiplier=0.4,
        logits_scaling=2.0,
    ),
    "tiny-smollm3": make("SmolLM3", 23, layers=4),
    "tiny-olmo2": make("Olmo2", 24),
    "tiny-olmo3": make("Olmo3", 25, layers=4, sliding_window=8, rope_parameters=OLMO3_ROPE),
    "tiny-ministral3": make("Ministral3", 26, head_dim=32, rope_parameters=MINISTRAL3_ROPE),
    "tiny-exaone4": make(
        "Exaone4", 27, sliding_window=None, rope_parameters=LLAMA3, tie_word_embeddings=True
    ),
    "tiny-hunyuan": make(
        "HunYuanDenseV1",
        28,
        head_dim=32,
        tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "dynamic",
            "alpha": 1000.0,
            "rope_theta": 10000.0,
            "factor": 1.0,
        },
    ),
    "tiny-ernie4_5": make("Ernie4_5", 29, kind="llama", head_dim=16),
}

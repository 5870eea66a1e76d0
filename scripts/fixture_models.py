"""Tiny models with random weights, one for each architecture and its conventions."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fixture_tokenizers import save_tokenizer
from tokenizers import Tokenizer
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

__all__ = ["MODELS", "YARN"]

YARN = {
    "rope_type": "yarn",
    "rope_theta": 5000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
}

LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def randomise(model: torch.nn.Module, seed: int, norm: float = 1.0) -> None:
    """Weights large enough that attention, gates and logits are far from uniform.

    ``norm`` is the weight of a norm that changes nothing: 0 for Gemma. Its GELU is a table of
    float16 in llama.cpp; a small norm after the GELU keeps that difference below the others.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 1:
            value = norm + 0.2 * noise if "norm" in name else 0.3 * noise
            if "post_feedforward" in name:
                value = 0.1 * (1 + 0.2 * noise) - 1
        elif "embed" in name or "lm_head" in name:
            value = 0.5 * noise
        else:
            value = noise * 1.5 / math.sqrt(parameter.shape[1])
        parameter.data.copy_(value)


def common(tokenizer: Tokenizer, vocab_size: int) -> dict[str, Any]:
    ids = [
        tokenizer.token_to_id(text)
        for names in (("<|endoftext|>", "<bos>"), ("<|im_end|>", "<eos>"))
        for text in names
        if tokenizer.token_to_id(text) is not None
    ]
    return {
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "bos_token_id": ids[0],
        "eos_token_id": ids[1],
        "dtype": "bfloat16",
        "attn_implementation": "eager",
    }


def make_llama(folder: Path, kind: str = "smollm") -> None:
    tokenizer = save_tokenizer(kind, folder)
    options = common(tokenizer, tokenizer.get_vocab_size())
    if kind == "llama-bpe":
        options["rope_parameters"] = LLAMA3
        options |= {"attention_bias": True, "tie_word_embeddings": True}
    else:
        options |= {"rope_theta": 5000.0, "tie_word_embeddings": False}
    # 80 is not a multiple of 32, so this down projection cannot be Q8_0.
    model = LlamaForCausalLM(LlamaConfig(intermediate_size=80, **options))
    randomise(model, 1)
    model.to(torch.bfloat16).save_pretrained(
        folder, max_shard_size="60KB" if kind != "smollm" else "1GB"
    )


def make_llama3(folder: Path) -> None:
    make_llama(folder, "llama-bpe")


def make_mistral(folder: Path) -> None:
    tokenizer = save_tokenizer("llama", folder)
    options = common(tokenizer, tokenizer.get_vocab_size())
    options |= {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
    # Rows of 256 can be K-quants. A head size of its own, as in Mistral Nemo.
    options |= {"hidden_size": 256, "head_dim": 32, "sliding_window": None}
    options |= {"num_hidden_layers": 1}
    model = MistralForCausalLM(MistralConfig(intermediate_size=256, **options))
    randomise(model, 6)
    model.to(torch.bfloat16).save_pretrained(folder)


def make_qwen2(folder: Path) -> None:
    tokenizer = save_tokenizer("qwen2", folder)
    options = common(tokenizer, tokenizer.get_vocab_size())
    options |= {"use_sliding_window": False, "tie_word_embeddings": False}
    model = Qwen2ForCausalLM(Qwen2Config(intermediate_size=96, **options))
    randomise(model, 3)
    model.to(torch.bfloat16).save_pretrained(folder)


def make_qwen3(folder: Path) -> None:
    tokenizer = save_tokenizer("qwen2", folder)
    options = common(tokenizer, tokenizer.get_vocab_size() + 11)  # unused rows, as in Qwen3
    config = Qwen3Config(intermediate_size=96, head_dim=32, tie_word_embeddings=True, **options)
    model = Qwen3ForCausalLM(config)
    randomise(model, 2)
    model.to(torch.bfloat16).save_pretrained(folder)


def make_gemma2(folder: Path) -> None:
    tokenizer = save_tokenizer("gemma", folder)
    # One token fewer than the tokenizer has, as in Gemma 3 1B.
    options = common(tokenizer, tokenizer.get_vocab_size() - 1)
    # A window much shorter than the prompts, and caps that the values reach.
    options |= {"sliding_window": 8, "head_dim": 32, "query_pre_attn_scalar": 32}
    options |= {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 20.0}
    options |= {"num_hidden_layers": 3, "pad_token_id": 0}
    model = Gemma2ForCausalLM(Gemma2Config(intermediate_size=96, **options))
    randomise(model, 4, norm=0.0)
    model.to(torch.bfloat16).save_pretrained(folder)


def make_gemma3(folder: Path) -> None:
    tokenizer = save_tokenizer("gemma", folder)
    options = common(tokenizer, tokenizer.get_vocab_size() + 64)  # unused rows, as in Gemma 3
    # Every sixth layer sees everything, the others eight tokens.
    options |= {"num_hidden_layers": 7, "sliding_window": 8, "pad_token_id": 0}
    options |= {"head_dim": 32, "query_pre_attn_scalar": 32}
    model = Gemma3ForCausalLM(Gemma3TextConfig(intermediate_size=64, **options))
    randomise(model, 5, norm=0.0)
    model.to(torch.bfloat16).save_pretrained(folder)


def make_phi3(folder: Path) -> None:
    tokenizer = save_tokenizer("phi3", folder)
    options = common(tokenizer, tokenizer.get_vocab_size() + 5)
    options |= {"pad_token_id": 2, "sliding_window": 2047, "tie_word_embeddings": False}
    model = Phi3ForCausalLM(
        Phi3Config(intermediate_size=96, original_max_position_embeddings=512, **options)
    )
    randomise(model, 7)
    model.to(torch.bfloat16).save_pretrained(folder)


def make_phi4(folder: Path) -> None:
    """Like Phi-4-mini: tied head, a quarter of each head not rotated, two sets of RoPE factors."""
    tokenizer = save_tokenizer("gpt-4o", folder)
    options = common(tokenizer, tokenizer.get_vocab_size())
    options |= {"tie_word_embeddings": True, "pad_token_id": None, "sliding_window": None}
    options["rope_parameters"] = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "partial_rotary_factor": 0.75,
        "short_factor": [1.0, 1.05, 1.1, 1.3, 1.5, 2.0],
        "long_factor": [1.0, 1.3, 2.0, 4.0, 8.0, 16.0],
        "original_max_position_embeddings": 256,
    }
    model = Phi3ForCausalLM(
        Phi3Config(intermediate_size=96, original_max_position_embeddings=256, **options)
    )
    randomise(model, 8)
    model.to(torch.bfloat16).save_pretrained(folder)


MODELS: dict[str, Callable[[Path], None]] = {
    "tiny-llama": make_llama,
    "tiny-llama3": make_llama3,
    "tiny-qwen3": make_qwen3,
    "tiny-qwen2": make_qwen2,
    "tiny-mistral": make_mistral,
    "tiny-gemma2": make_gemma2,
    "tiny-gemma3": make_gemma3,
    "tiny-phi3": make_phi3,
    "tiny-phi4": make_phi4,
}

"""The names that llama.cpp has for ways of splitting text before byte-level BPE.

Source: ``llama_vocab::impl::load`` in src/llama-vocab.cpp of llama.cpp. ``default`` and
``whitespace`` are left out: the first stands for none, the second belongs to embedding models.
"""

from __future__ import annotations

from ...errors import ConversionError

__all__ = ["PRE_TOKENIZERS", "checked_pre_tokenizer"]

PRE_TOKENIZERS: tuple[str, ...] = (
    *("a.x-4.0", "afmoe", "bailingmoe", "bailingmoe2", "bloom", "chameleon", "chatglm-bpe"),
    *("codeshell", "cohere2moe", "command-r", "dbrx", "deepseek-coder", "deepseek-llm"),
    *("deepseek-r1-qwen", "deepseek-v3", "exaone", "exaone-moe", "exaone4", "f2llmv2"),
    *("falcon", "falcon-h1", "falcon3", "gemma4", "gigachat", "glm4", "glm5", "gpt-2"),
    *("gpt-4o", "gpt3-finnish", "granite-docling", "granite-embed-multi-311m"),
    *("granite-embed-multi-97m", "grok-2", "hunyuan", "hunyuan-dense", "hy_v4", "jais"),
    *("jais-2", "jina-de", "jina-es", "jina-v1-en", "jina-v2-code", "jina-v2-de", "jina-v2-es"),
    *("jina-v5-nano", "joyai-llm", "kanana2", "kimi-k2", "kormo", "laguna", "lfm2"),
    *("llada-moe", "llama-bpe", "llama-v3", "llama3", "llama4", "megrez", "mellum", "mellum2"),
    *("midm-2.0", "minerva-7b", "minicpm5", "minimax-m2", "modern-bert", "mpt", "olmo"),
    *("phi-2", "pixtral", "poro-chat", "qwen2", "qwen35", "refact", "roberta-bpe"),
    *("sarvam-moe", "seed-coder", "smaug-bpe", "smollm", "solar-open", "spark2_5", "stablelm2"),
    *("starcoder", "superbpe", "talkie", "tekken", "tiny_aya", "trillion", "ufakzeka"),
    *("viking", "youtu"),
)
"""In the order of the alphabet."""


def checked_pre_tokenizer(name: str) -> str:
    """``name``. Raises ConversionError, which lists the known names, for any other."""
    if name in PRE_TOKENIZERS:
        return name
    raise ConversionError(
        f"llama.cpp has no pre-tokenizer {name!r:.80}\nIts names are {', '.join(PRE_TOKENIZERS)}."
    )

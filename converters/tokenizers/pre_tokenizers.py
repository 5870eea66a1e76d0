"""Recognises how a tokenizer splits text before BPE, and gives llama.cpp's name for it.

A wrong name silently gives wrong tokens. Only structures that are known exactly are therefore
recognised. An error refuses all others and names the way around it.

Source: ``llm_tokenizer_bpe`` in src/llama-vocab.cpp of llama.cpp, which has the same expressions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import ConversionError

__all__ = ["IGNORE_MERGES", "recognise"]

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_GPT4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+CONTRACTION"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*CONTRACTION"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
).replace("CONTRACTION", "(?i:'s|'t|'re|'ve|'m|'ll|'d)?")

_QWEN35 = (
    _WORDS.replace("DIGITS", "")
    .replace(r"\p{L}+", r"[\p{L}\p{M}]+")
    .replace(r"[^\s\p{L}\p{N}]", r"[^\s\p{L}\p{M}\p{N}]")
)
_DEEPSEEK = (
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
    r"|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
)

_KNOWN: Mapping[tuple[tuple[str, ...], bool], str] = {
    (("byte-level words",), False): "gpt-2",
    (("digits", "byte-level words"), False): "smollm",
    ((f"split {_WORDS.replace('DIGITS', '')}", "byte-level"), False): "qwen2",
    ((f"split {_WORDS.replace('DIGITS', '{1,3}')}", "byte-level"), True): "llama-bpe",
    ((f"split {_WORDS.replace('DIGITS', '{1,3}')}", "byte-level"), False): "smaug-bpe",
    ((f"split {_TEKKEN}", "byte-level"), True): "tekken",
    ((f"split {_GPT4O}", "byte-level"), False): "gpt-4o",
    ((f"split {_QWEN35}", "byte-level"), False): "qwen35",
    ((*(f"split {regex}" for regex in _DEEPSEEK), "byte-level"), False): "deepseek-v3",
}
"""``tokenizer.ggml.pre`` by the steps, and by whether whole tokens bypass the merges."""

IGNORE_MERGES = frozenset({"llama-bpe", "tekken"})
"""Names for which llama.cpp looks up whole words before it merges, and adds BOS by default."""


def recognise(tokenizer: Mapping[str, Any], source: object) -> str:
    """``tokenizer.ggml.pre`` for a parsed ``tokenizer.json``.

    Raises ConversionError, with ``source`` in its message, for an unknown structure.
    """
    steps = _steps(tokenizer.get("pre_tokenizer"))
    model = tokenizer.get("model")
    ignore_merges = isinstance(model, dict) and model.get("ignore_merges") is True
    name = _KNOWN.get((steps, ignore_merges))
    if name is None:
        described = ", then ".join(steps) or "nothing"
        raise ConversionError(
            f"{source}: unknown pre-tokenizer: {described[:400]} (ignore_merges: {ignore_merges})\n"
            "A wrong one gives wrong tokens. Use a ready GGUF file of the base; or, if you know "
            "llama.cpp's name for it, give it with pre_tokenizer=NAME (--pre-tokenizer NAME)."
        )
    return name


def _steps(pre_tokenizer: object) -> tuple[str, ...]:
    """The steps as texts that are equal exactly if the steps split alike."""
    if not isinstance(pre_tokenizer, dict):
        return ()
    kind = pre_tokenizer.get("type")
    if kind == "Sequence":
        members = pre_tokenizer.get("pretokenizers")
        if not isinstance(members, list):
            return ("a malformed Sequence",)
        return tuple(step for member in members for step in _steps(member))
    if kind == "ByteLevel" and not pre_tokenizer.get("add_prefix_space", True):
        return ("byte-level words" if pre_tokenizer.get("use_regex", True) else "byte-level",)
    if kind == "Digits" and pre_tokenizer.get("individual_digits") is True:
        return ("digits",)
    if kind == "Split":
        pattern = pre_tokenizer.get("pattern")
        regex = pattern.get("Regex") if isinstance(pattern, dict) else None
        isolated = pre_tokenizer.get("behavior") == "Isolated" and not pre_tokenizer.get("invert")
        if isinstance(regex, str) and isolated:
            # Some files hold line ends instead of their escapes.
            return (f"split {regex}".replace("\r", r"\r").replace("\n", r"\n"),)
    return (f"{pre_tokenizer}",)

"""Reads the model, the normalizer and the merges of a byte-level BPE ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ConversionError
from .merges import read_merges

__all__ = ["byte_level_model", "normalizer_of", "spelled_merges"]


def byte_level_model(tokenizer: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The object ``model``. Raises ConversionError unless it is plain BPE with a vocabulary."""
    model = tokenizer.get("model")
    if not isinstance(model, dict):
        raise ConversionError(f"{path}: has no model")
    kind = model.get("type")
    if kind != "BPE":
        raise ConversionError(
            f"{path}: a {kind} tokenizer is not supported, only byte-level BPE and SentencePiece "
            "with byte fallback"
        )
    for option in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(option):
            raise ConversionError(f"{path}: BPE with {option} is not supported")
    vocab = model.get("vocab")
    if not isinstance(vocab, dict) or not all(type(i) is int for i in vocab.values()):
        raise ConversionError(f"{path}: model.vocab does not map tokens to ids")
    return model


def normalizer_of(tokenizer: Mapping[str, Any], path: Path) -> str:
    """``nfc``, which the runtime applies, or ``none``. Raises ConversionError for any other."""
    normalizer = tokenizer.get("normalizer")
    if normalizer is None:
        return "none"
    if isinstance(normalizer, dict):
        members = (
            normalizer.get("normalizers") if normalizer.get("type") == "Sequence" else [normalizer]
        )
        members = members if isinstance(members, list) else []
        kinds = [str(m.get("type") if isinstance(m, dict) else m) for m in members]
        if not kinds:
            return "none"
        if set(kinds) == {"NFC"}:
            return "nfc"
        raise ConversionError(f"{path}: the normalizer {kinds} has no counterpart in llama.cpp")
    raise ConversionError(f"{path}: the normalizer is malformed")


def spelled_merges(model: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """The merges as GGUF holds them, ``"left right"``, best first."""
    pairs = read_merges(model, path)
    if not pairs:
        raise ConversionError(f"{path}: model.merges is empty")
    # A space separates the two parts, so spaces inside a part need their byte-level spelling, "Ġ".
    spelled = ((left.replace(" ", "\u0120"), right.replace(" ", "\u0120")) for left, right in pairs)
    return tuple(f"{left} {right}" for left, right in spelled)

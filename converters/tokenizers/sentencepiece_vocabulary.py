"""Reads the tokens of SentencePiece tokenizers with byte fallback: Llama 2, Mistral, Gemma, Phi-3.

The tokens come from ``tokenizer.model`` if the folder has one, otherwise from ``tokenizer.json``.
There, the rank of the merge that makes a piece serves as its score, so that llama.cpp merges in
the same order.

Source: ``_create_vocab_sentencepiece`` in conversion/base.py and
``llm_tokenizer_spm`` in src/llama-vocab.cpp of llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConversionError
from ..json_file import read_json
from .merges import read_merges
from .sentencepiece_model import (
    BPE,
    BYTE,
    NORMAL,
    UNKNOWN,
    USER_DEFINED,
    Piece,
    SentencePieceModel,
    read_sentencepiece_model,
)

__all__ = ["Splitting", "is_sentencepiece", "pieces_of", "splitting_of"]

SPACE = "\u2581"
"""The character that spells a space in pieces."""

UNMERGED_SCORE = -1000.0
"""The score of tokens that no merge makes. llama.cpp never compares it."""

_BYTE = re.compile("<0x[0-9A-F]{2}>")


@dataclass(frozen=True)
class Splitting:
    """What happens to a text before merging.

    ``space_prefix`` says where a space is put in front of a text: one of ``SPACE_PREFIXES`` in
    `hivellm_lite.tokenization.rules`.
    """

    space_prefix: str

    @property
    def adds_space(self) -> bool:
        """The value of GGUF's ``add_space_prefix``, which can say less."""
        return self.space_prefix != "never"


def is_sentencepiece(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a parsed ``tokenizer.json`` holds a SentencePiece tokenizer with byte fallback."""
    model = tokenizer.get("model")
    return (
        isinstance(model, dict)
        and model.get("type") == "BPE"
        and model.get("byte_fallback") is True
    )


def splitting_of(tokenizer: Mapping[str, Any], path: Path) -> Splitting:
    """What ``tokenizer.json`` does to a text before merging.

    Raises ConversionError for unknown steps.
    """
    steps = [*_steps(tokenizer.get("normalizer"), "normalizers")]
    before = [*_steps(tokenizer.get("pre_tokenizer"), "pretokenizers")]
    prefixes = [step for step in steps if step == {"type": "Prepend", "prepend": SPACE}]
    replaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    merging = {
        "type": "Split",
        "pattern": {"String": " "},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }
    rest = [step for step in steps if step not in (*prefixes, replaces)]
    rest += [step for step in before if step != merging and not _is_metaspace(step)]
    metaspaces = [step for step in before if _is_metaspace(step)]
    if rest or len(metaspaces) > 1 or (replaces not in steps and not metaspaces):
        raise ConversionError(
            f"{path}: unknown normalizer or pre-tokenizer: {str(rest or [*steps, *before])[:400]}\n"
            "A wrong one gives wrong tokens. Use a ready GGUF file of the base."
        )
    if prefixes:
        return Splitting("prepend")
    return Splitting(_prepend_scheme(metaspaces[0]) if metaspaces else "never")


def _prepend_scheme(metaspace: Mapping[str, Any]) -> str:
    # files of tokenizers before 0.15 only say whether there is a prefix
    older = "never" if metaspace.get("add_prefix_space") is False else "always"
    return str(metaspace.get("prepend_scheme", older))


def _steps(step: object, members: str) -> Iterable[Mapping[str, Any]]:
    if step is None:
        return
    if not isinstance(step, dict):
        yield {"type": f"a malformed one of the {members}"}
        return
    if step.get("type") == "Sequence":
        inner = step.get(members)
        for member in inner if isinstance(inner, list) else ["malformed"]:
            yield from _steps(member, members)
        return
    yield step


def _is_metaspace(step: Mapping[str, Any]) -> bool:
    """Whether a step only replaces spaces and leaves the text in one piece."""
    return (
        step.get("type") == "Metaspace"
        and step.get("replacement") == SPACE
        and step.get("split") is False
        and step.get("prepend_scheme", "always") in ("first", "always", "never")
    )


def rebuilt_splitting(folder: Path, options: Mapping[str, Any]) -> Splitting | None:
    """What the tokenizer of a Llama base does to a text in Transformers 5, which builds it anew and
    reads the steps of ``tokenizer.json`` for none of them; None for all other bases.

    Source: ``LlamaTokenizer`` in models/llama/tokenization_llama.py of Transformers.
    """
    if options.get("tokenizer_class") not in ("LlamaTokenizer", "LlamaTokenizerFast"):
        return None
    config = folder / "config.json"
    if not config.is_file() or read_json(config).get("model_type") != "llama":
        return None
    if options.get("add_prefix_space") is False:
        return Splitting("never")
    return Splitting("always" if options.get("legacy") is True else "first")


def pieces_of(
    folder: Path, tokenizer: Mapping[str, Any] | None, options: Mapping[str, Any], size: int
) -> tuple[dict[int, Piece], Splitting, tuple[str, ...]]:
    """The pieces by id, what happens to a text before merging, and notes.

    ``tokenizer`` is the parsed ``tokenizer.json``, if the folder has one, and ``options`` is
    ``tokenizer_config.json``. Raises ConversionError for a tokenizer that llama.cpp cannot compute.
    """
    path, notes = folder / "tokenizer.model", tuple[str, ...]()
    model = read_sentencepiece_model(path) if path.is_file() else None
    rebuilt = rebuilt_splitting(folder, options)
    if tokenizer is None:
        assert model is not None  # the caller has seen one of the two  # noqa: S101
        pieces = dict(enumerate(_checked(model, path).pieces))
        scheme = "first" if options.get("legacy") is False else "prepend"
        splitting = rebuilt or Splitting(scheme if model.add_prefix else "never")
    else:
        path = folder / "tokenizer.json"
        splitting = splitting_of(tokenizer, path)
        if rebuilt is not None and rebuilt != splitting:
            notes = (
                f"spaces in front of texts: as in Transformers 5 ({rebuilt.space_prefix}), "
                f"not as tokenizer.json and Transformers 4 have them ({splitting.space_prefix})",
            )
            splitting = rebuilt
        pieces = _from_merges(tokenizer["model"], path)
        if model is not None:
            listed = {i: piece.text for i, piece in enumerate(model.pieces)}
            if all(listed.get(i, piece.text) == piece.text for i, piece in pieces.items()):
                # Transformers merges a piece that it does not list as added like any other.
                pieces |= {
                    i: Piece(p.text, p.score, NORMAL if p.type == USER_DEFINED else p.type)
                    for i, p in enumerate(model.pieces)
                }
            else:
                notes += ("tokenizer.model is another vocabulary and is not used",)
    for token_id, piece in pieces.items():
        if not 0 <= token_id < size:
            raise ConversionError(
                f"{path}: token {piece.text!r} has the id {token_id}, "
                f"but the model's vocabulary has {size} entries\n"
                "The tokenizer is another model's, or it has grown and the embedding has not."
            )
    n_bytes = len({p.text for p in pieces.values() if p.type == BYTE and _BYTE.fullmatch(p.text)})
    if n_bytes != 256:
        raise ConversionError(
            f"{path}: {n_bytes} of the 256 byte tokens are there; llama.cpp needs them all"
        )
    return pieces, splitting, notes


def _checked(model: SentencePieceModel, path: Path) -> SentencePieceModel:
    if model.model_type != BPE:
        raise ConversionError(f"{path}: a SentencePiece model that is not BPE is not supported")
    if model.normalizer not in ("", "identity"):
        raise ConversionError(
            f"{path}: the normalizer {model.normalizer!r} has no counterpart in llama.cpp"
        )
    if model.removes_spaces:
        raise ConversionError(f"{path}: removing extra spaces has no counterpart in llama.cpp")
    return model


def _from_merges(model: Mapping[str, Any], path: Path) -> dict[int, Piece]:
    """The pieces of ``model``, scored by the rank of the first merge that makes them."""
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"):
        if model.get(option):
            raise ConversionError(f"{path}: SentencePiece BPE with {option} is not supported")
    vocab = model.get("vocab")
    if not isinstance(vocab, dict) or not all(type(i) is int for i in vocab.values()):
        raise ConversionError(f"{path}: model.vocab does not map tokens to ids")
    ranks: dict[str, int] = {}
    for left, right in read_merges(model, path):
        ranks.setdefault(left + right, len(ranks))
    unknown, pieces = model.get("unk_token"), dict[int, Piece]()
    for text, token_id in vocab.items():
        if token_id in pieces:
            raise ConversionError(
                f"{path}: {pieces[token_id].text!r} and {text!r} are both {token_id}"
            )
        kind = UNKNOWN if text == unknown else BYTE if _BYTE.fullmatch(text) else NORMAL
        score = float(-ranks[text]) if text in ranks else UNMERGED_SCORE
        pieces[token_id] = Piece(text, score, kind)
    return pieces

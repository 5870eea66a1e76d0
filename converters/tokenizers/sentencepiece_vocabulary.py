"""The tokens of SentencePiece tokenizers with byte fallback: Llama 2, Mistral, Gemma, Phi-3.

They come from ``tokenizer.model`` where it is there. Otherwise from
``tokenizer.json``: a piece's score is then the rank of the merge that makes it,
which gives llama.cpp's merging the same order.

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
"""How pieces spell a space."""

UNMERGED_SCORE = -1000.0
"""Of tokens that no merge makes: llama.cpp never compares it."""

_BYTE = re.compile("<0x[0-9A-F]{2}>")


@dataclass(frozen=True)
class Splitting:
    """``space_prefix``: where a space is put in front of a text, one of the runtime's
    ``SPACE_PREFIXES`` (`hivellm_lite.tokenization.rules`).
    """

    space_prefix: str

    @property
    def adds_space(self) -> bool:
        """What GGUF's ``add_space_prefix`` can say of it."""
        return self.space_prefix != "never"


def is_sentencepiece(tokenizer: Mapping[str, Any]) -> bool:
    """Whether a ``tokenizer.json`` holds such a tokenizer."""
    model = tokenizer.get("model")
    return (
        isinstance(model, dict)
        and model.get("type") == "BPE"
        and model.get("byte_fallback") is True
    )


def splitting_of(tokenizer: Mapping[str, Any], path: Path) -> Splitting:
    """What ``tokenizer.json`` does to a text before merging; ConversionError if unknown."""
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
    # files of tokenizers before 0.15 say only whether
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
    """One that leaves the text in one piece: it only replaces spaces."""
    return (
        step.get("type") == "Metaspace"
        and step.get("replacement") == SPACE
        and step.get("split") is False
        and step.get("prepend_scheme", "always") in ("first", "always", "never")
    )


def pieces_of(
    folder: Path, tokenizer: Mapping[str, Any] | None, size: int
) -> tuple[dict[int, Piece], Splitting, tuple[str, ...]]:
    """Pieces by id, what happens before merging, and notes.

    ``tokenizer`` is the parsed ``tokenizer.json`` where there is one. Raises
    ConversionError for a tokenizer that llama.cpp cannot compute.
    """
    path, notes = folder / "tokenizer.model", tuple[str, ...]()
    model = read_sentencepiece_model(path) if path.is_file() else None
    if tokenizer is None:
        assert model is not None  # the caller has seen one of the two  # noqa: S101
        pieces = dict(enumerate(_checked(model, path).pieces))
        splitting = Splitting("prepend" if model.add_prefix else "never")
    else:
        path = folder / "tokenizer.json"
        splitting = splitting_of(tokenizer, path)
        pieces = _from_merges(tokenizer["model"], path)
        if model is not None:
            listed = {i: piece.text for i, piece in enumerate(model.pieces)}
            if all(listed.get(i, piece.text) == piece.text for i, piece in pieces.items()):
                # What Transformers does not list as added is merged like any other piece.
                pieces |= {
                    i: Piece(p.text, p.score, NORMAL if p.type == USER_DEFINED else p.type)
                    for i, p in enumerate(model.pieces)
                }
            else:
                notes = ("tokenizer.model is another vocabulary and is not used",)
    for token_id, piece in pieces.items():
        if not 0 <= token_id < size:
            raise ConversionError(
                f"{path}: token {piece.text!r} has the id {token_id}, "
                f"but the model's vocabulary has {size} entries"
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
    """Scores by the rank of the first merge that makes a piece."""
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

"""Reads the tokens outside a tokenizer's model: control tokens and added tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import ConversionError
from .special_tokens import read_older_added_tokens

__all__ = [
    "AddedToken",
    "looks_special",
    "read_added_tokens",
    "single_word_notes",
    "stripping_tokens",
]

_CONTROL_WORDS = frozenset({"<pad>", "<mask>", "<2mass>", "[@BOS@]"})
"""Control tokens that some published tokenizers forgot to mark as special."""


@dataclass(frozen=True)
class AddedToken:
    """A token outside the model.

    It swallows the white space on its ``sides``, ``left`` and ``right``. A ``single_word`` is a
    token only where no letter touches it.
    """

    text: str
    special: bool
    sides: frozenset[str]
    single_word: bool


def read_added_tokens(
    folder: Path,
    tokenizer: Mapping[str, Any],
    options: Mapping[str, Any],
    vocab: Mapping[str, int],
    size: int,
) -> tuple[dict[int, AddedToken], tuple[str, ...]]:
    """The tokens outside the BPE model by id, and notes about them.

    Transformers 4 repeats the tokens in ``tokenizer_config.json``, and before 4.34 in
    ``added_tokens.json``. Tokens that only these files list count, too. Ids from ``size`` on,
    the size of the model's vocabulary, are left out. Raises ConversionError for a malformed
    entry and for an id or a text with two meanings.
    """
    path = folder / "tokenizer.json"
    decoder = options.get("added_tokens_decoder")
    entries = tokenizer.get("added_tokens") or []
    if not isinstance(entries, list):
        raise ConversionError(f"{path}: added_tokens is not a list")
    seen = {str(entry.get("id")) for entry in entries if isinstance(entry, dict)}
    if not isinstance(decoder, dict):
        listed = (entry.get("content") for entry in entries if isinstance(entry, dict))
        texts = {text for text in listed if isinstance(text, str)}
        older = read_older_added_tokens(folder, options)
        decoder = {key: entry for key, entry in older.items() if entry["content"] not in texts}
    if decoder:
        entries = entries + [
            {**entry, "id": int(key)}
            for key, entry in decoder.items()
            if isinstance(entry, dict) and re.fullmatch("[0-9]{1,9}", key) and key not in seen
        ]
    added: dict[int, AddedToken] = {}
    beyond = []
    for entry in entries:
        text = entry.get("content") if isinstance(entry, dict) else None
        token_id = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(text, str) or not text or type(token_id) is not int:
            raise ConversionError(f"{path}: an added token has no content or id: {entry!r}")
        if token_id in added or vocab.get(text, token_id) != token_id:
            raise ConversionError(f"{path}: added token {text!r} ({token_id}) is defined twice")
        if token_id >= size:
            beyond.append(text)
            continue
        added[token_id] = AddedToken(
            text,
            special=entry.get("special") is True,
            sides=frozenset(
                side for side in ("left", "right") if entry.get(f"{side[0]}strip") is True
            ),
            single_word=entry.get("single_word") is True,
        )
    for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        # A token with such a role is special in Transformers, even if its entry denies it.
        role = options.get(f"{name}_token")
        text = role.get("content") if isinstance(role, dict) else role
        for token_id, token in added.items():
            if token.text == text:
                added[token_id] = replace(token, special=True)
    if not beyond:
        return added, ()
    names = ", ".join(beyond[:5])
    return added, (f"{names} left out: the model's vocabulary has {size} entries",)


def stripping_tokens(added: Mapping[int, AddedToken]) -> dict[str, tuple[int, ...]]:
    """The ids of the tokens that swallow white space on their ``left`` and on their ``right``."""
    return {
        side: tuple(token_id for token_id, token in added.items() if side in token.sides)
        for side in ("left", "right")
    }


def single_word_notes(added: Mapping[int, AddedToken]) -> tuple[str, ...]:
    """A note about the tokens that llama.cpp also finds inside words."""
    texts = [token.text for token in added.values() if token.single_word]
    if not texts:
        return ()
    return (f"{', '.join(texts[:5])} is a token inside a word too, in Transformers it is not",)


def looks_special(text: str) -> bool:
    """Whether llama.cpp's converter takes this text for a control token."""
    return (
        text in _CONTROL_WORDS
        or (text.startswith("<|") and text.endswith("|>"))
        or (text.startswith("<｜") and text.endswith("｜>"))
        or (text.startswith("<unused") and text.endswith(">"))
    )

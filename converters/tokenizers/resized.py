"""The vocabulary of a base after tokens were added to it or removed from its end.

An adapter that was trained on a resized embedding brings the embedding's rows, and its package
names the new tokens in the tokenizer's files. So it does if the new tokens took spare rows, which
have no name in the base. Everything else of the base's tokenizer stays.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ConversionError
from ..gguf.arrays import read_numbers, read_strings
from ..gguf.check.vocabulary import text_problem
from ..gguf.header import GGUFHeader
from ..json_file import read_tokenizer_json
from .added_tokens import AddedToken, looks_special, read_added_tokens
from .special_tokens import read_tokenizer_options
from .vocabulary import CONTROL, PADDING_SCORE, UNUSED, USER_DEFINED

__all__ = ["resized_vocabulary"]

_TOKENS, _TYPES = "tokenizer.ggml.tokens", "tokenizer.ggml.token_type"
_SCORES = "tokenizer.ggml.scores"

MAX_ADDED = 100_000
"""Tokens that a package may add. Published ones add a few, and languages some ten thousand."""

_ARRAY, _STRING, _INT32, _FLOAT32, _UINT32 = 9, 8, 5, 6, 4


def resized_vocabulary(
    base: GGUFHeader, size: int | None, folder: Path
) -> Mapping[str, tuple[int, bytes]]:
    """The changed keys of ``base`` for ``size`` tokens, in the form that ``write_gguf`` takes.

    With None the size stays, and there are no changed keys if no spare row gets a name.
    ``folder`` holds the package's tokenizer files, if it has any; a new token without a name there
    becomes a placeholder that no text is divided into. Raises ConversionError for names that the
    vocabulary has already, and if a special token would be removed.
    """
    tokens = read_strings(base, _TOKENS)
    types = read_numbers(base, _TYPES).tolist()
    scores = read_numbers(base, _SCORES).tolist() if _SCORES in base.arrays else None
    before = len(tokens)
    size = before if size is None else size
    if size > before + MAX_ADDED:
        raise ConversionError(f"{size - before} tokens are added; {MAX_ADDED} are possible")
    _check_special(base, size)
    named = {} if size <= before and not _is_padded(types) else _named(folder, size)
    del tokens[size:], types[size:]
    tokens += [f"[PAD{index}]".encode() for index in range(before, size)]
    types += [UNUSED] * (size - len(types))
    new = {index: token for index, token in named.items() if types[index] == UNUSED}
    if size == before and not new:
        return {}
    for index, token in new.items():
        tokens[index] = token.text.encode()
        is_control = token.special or looks_special(token.text)
        types[index] = CONTROL if is_control else USER_DEFINED
    if problem := text_problem(tokens):
        found, expected = problem
        raise ConversionError(f"{folder}: the added tokens: {found}; expected {expected}")
    changed = {
        _TOKENS: (_ARRAY, _array(_STRING, b"".join(map(_string, tokens)), size)),
        _TYPES: (_ARRAY, _array(_INT32, struct.pack(f"<{size}i", *types), size)),
    }
    if scores is not None:
        scores = [*scores[:size], *[PADDING_SCORE] * (size - len(scores))]
        changed[_SCORES] = (_ARRAY, _array(_FLOAT32, struct.pack(f"<{size}f", *scores), size))
    if (count := f"{base.architecture}.vocab_size") in base.metadata:
        changed[count] = (_UINT32, struct.pack("<I", size))
    return changed


def _named(folder: Path, size: int) -> Mapping[int, AddedToken]:
    """The tokens that the files in ``folder`` add, by id."""
    path = folder / "tokenizer.json"
    tokenizer: Mapping[str, Any] = read_tokenizer_json(path) if path.is_file() else {}
    return read_added_tokens(folder, tokenizer, read_tokenizer_options(folder), {}, size)[0]


def _is_padded(types: list[int]) -> bool:
    return UNUSED in types


def _check_special(base: GGUFHeader, size: int) -> None:
    for key, value in base.metadata.items():
        is_id = key.startswith("tokenizer.ggml.") and key.endswith("_token_id")
        if is_id and isinstance(value, int) and value >= size:
            raise ConversionError(
                f"a vocabulary of {size} tokens has no token {value}, the base's {key}"
            )


def _array(kind: int, data: bytes, length: int) -> bytes:
    return struct.pack("<IQ", kind, length) + data


def _string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text

"""Checks that llama.cpp's tokenizers can work with a vocabulary.

llama.cpp ends the process for a faulty vocabulary: it asserts that no two tokens have the same
text, looks up bytes that may be missing, and lets exceptions of a tokenizer pass through its C
functions.

Source: ``llama_vocab::impl::load``, ``byte_to_token`` and ``llama_decode_text`` in
src/llama-vocab.cpp of llama.cpp.
"""

from __future__ import annotations

import contextlib
import math
import re
from array import array
from collections.abc import Iterator, Sequence

from ..arrays import read_numbers, read_strings
from .problems import Findings

__all__ = ["TOKENIZERS", "check_vocabulary", "missing_bytes", "text_problem"]

TOKENIZERS = ("gpt2", "llama", "gemma4")
"""Byte-level BPE, SentencePiece, and Gemma 4's mixture. Text models use no others."""

MAX_TOKEN_BYTES = 1 << 16
"""Limit of a token. The longest tokens of published vocabularies have some hundred bytes."""

MAX_SPELLED_BYTES = 64 << 20
"""llama.cpp spells out a token once for each of its characters outside the byte alphabet."""

NORMAL, BYTE = 1, 6
_INT32, _FLOAT32 = 5, 6

_TOKENS = "tokenizer.ggml.tokens"
_TYPES = "tokenizer.ggml.token_type"

_BYTE_NAME = re.compile(rb"<0x[0-9A-Fa-f]{2}>")
_NO_BYTE_LETTER = re.compile("[^\n!-~\u00a1-\u00ac\u00ae-\u0143]")
"""Characters that stand for no byte in byte-level BPE. A line end separates tokens here."""

_UTF8_BYTES = [b for b in range(256) if b not in (0xC0, 0xC1) and b < 0xF5]
"""The bytes that occur in UTF-8."""

_PHI3_TOKENS = (b"</s>", b"<unk>", b"<s>", b"<|endoftext|>")


def check_vocabulary(findings: Findings) -> None:
    """Note every problem in ``tokenizer.*`` for which llama.cpp would end the process."""
    header = findings.header
    model = findings.text("tokenizer.ggml.model")
    if model not in TOKENIZERS:
        found = "missing" if model is None else f"{model!r:.50}"
        findings.add("tokenizer.ggml.model", found, " or ".join(TOKENIZERS))
        return
    if header.metadata.get("tokenizer.ggml.pre") == "whitespace":
        # For this name llama.cpp does not split at spaces, but asserts that words have none.
        findings.add("tokenizer.ggml.pre", "'whitespace'", "a pre-tokenizer of text models")
    listed = header.arrays.get(_TOKENS)
    if listed is None or listed.type_code != 8 or not listed.length:
        found = "missing" if listed is None else f"an array of {listed.length}"
        findings.add(_TOKENS, found, "a list of texts")
        return
    tokens, types = read_strings(header, _TOKENS), _types(findings, listed.length)
    _check_scores(findings, listed.length)
    if model != "llama" and "tokenizer.ggml.merges" not in header.arrays:
        findings.add("tokenizer.ggml.merges", "missing", "a list of pairs")
    longest = max(tokens, key=len)
    if len(longest) > MAX_TOKEN_BYTES:
        findings.add(_TOKENS, f"one text of {len(longest)} bytes", f"at most {MAX_TOKEN_BYTES}")
        return
    if (problem := text_problem(tokens)) is not None:
        findings.add(_TOKENS, *problem)
        return
    texts = _decoded(findings, tokens)
    if texts is None or types is None:
        return
    if model == "llama" and (missing := missing_bytes(tokens)):
        names = ", ".join(f"<0x{byte:02X}>" for byte in missing[:5])
        findings.add(_TOKENS, f"without {names}", "a token for each byte")
    for token in _places(types, BYTE):
        if not _BYTE_NAME.fullmatch(tokens[token]):
            findings.add(_TOKENS, f"{_shown(tokens[token])} at {token}", "<0x00> to <0xFF>")
            return
    if model == "gpt2":
        _check_spelling(findings, texts, types)
    _check_ids(findings, tokens)


def text_problem(tokens: Sequence[bytes]) -> tuple[str, str] | None:
    """The problem of the tokens' texts, and what is expected; None if there is no problem.

    llama.cpp asserts that the texts differ. It reads a text up to its first NUL, and calls an
    empty text ``[EMPTY_<id>]``.
    """
    if b"\0" in b"".join(tokens):
        token = next(token for token, text in enumerate(tokens) if b"\0" in text)
        return f"{_shown(tokens[token])} at {token}", "texts without NUL"
    names = tokens
    if b"" in tokens:
        names = [text or b"[EMPTY_%d]" % token for token, text in enumerate(tokens)]
    if len(set(names)) == len(names):
        return None
    first: dict[bytes, int] = {}
    for token, text in enumerate(names):
        if text in first:
            return f"{_shown(text)} at {first[text]} and at {token}", "texts that differ"
        first[text] = token
    return None


def missing_bytes(tokens: list[bytes]) -> list[int]:
    """The bytes of UTF-8 for which a SentencePiece vocabulary has no token."""
    known = set(tokens)
    return [b for b in _UTF8_BYTES if b"<0x%02X>" % b not in known and bytes([b]) not in known]


def _places(numbers: array[int], wanted: int) -> Iterator[int]:
    place = -1
    with contextlib.suppress(ValueError):
        while True:
            place = numbers.index(wanted, place + 1)
            yield place


def _types(findings: Findings, n_tokens: int) -> array[int] | None:
    listed = findings.header.arrays.get(_TYPES)
    if listed is None:
        if _TYPES in findings.header.metadata:
            findings.add(_TYPES, "no list", "a list of int32")
            return None
        return array("i", [NORMAL]) * n_tokens
    if listed.type_code != _INT32 or listed.length < n_tokens:
        findings.add(
            _TYPES, f"a list of {listed.length}", f"int32 for each of the {n_tokens} tokens"
        )
        return None
    return read_numbers(findings.header, _TYPES)[:n_tokens]


def _check_scores(findings: Findings, n_tokens: int) -> None:
    key = "tokenizer.ggml.scores"
    listed = findings.header.arrays.get(key)
    if listed is None:
        if key in findings.header.metadata:
            findings.add(key, "no list", "a list of float32")
    elif listed.type_code not in (_FLOAT32, _INT32) or listed.length < n_tokens:
        findings.add(
            key, f"a list of {listed.length}", f"float32 for each of the {n_tokens} tokens"
        )
    elif not _finite(read_numbers(findings.header, key)[:n_tokens]):
        findings.add(key, "not finite everywhere", "numbers")


def _finite(numbers: array[float]) -> bool:
    return math.isfinite(sum(numbers))  # a sum of float32 does not exceed float64


def _decoded(findings: Findings, tokens: list[bytes]) -> str | None:
    """All texts, one on each line. Line ends inside the texts do not matter here."""
    joined = b"\n".join(tokens)
    try:
        return joined.decode("utf-8")
    except UnicodeDecodeError as error:
        token = joined.count(b"\n", 0, error.start)
        findings.add(_TOKENS, f"no UTF-8 near {token}: {error.reason}", "texts in UTF-8")
        return None


def _check_spelling(findings: Findings, texts: str, types: array[int]) -> None:
    spelled = 0
    if _NO_BYTE_LETTER.search(texts) is None:
        return
    lines = texts.split("\n")
    if len(lines) != len(types):  # tokens contain line ends, so look at the whole text
        spelled = len(_NO_BYTE_LETTER.findall(texts)) * max(map(len, lines))
    else:
        for line, kind in zip(lines, types, strict=True):
            if kind == NORMAL and (odd := len(_NO_BYTE_LETTER.findall(line))):
                spelled += odd * (len(line) + 20)
    if spelled > MAX_SPELLED_BYTES:
        findings.add(
            _TOKENS, f"{spelled >> 20} MB of characters that stand for no byte", "byte-level texts"
        )


def _check_ids(findings: Findings, tokens: list[bytes]) -> None:
    """Check the tokens that llama.cpp takes for granted: for its phi-3 rule, and a BOS to add."""
    metadata, n_tokens = findings.header.metadata, len(tokens)
    name = str(metadata.get("general.name", "")).lower()
    if "phi-3" in name or "phi3" in name:
        known = set(tokens)
        for text in _PHI3_TOKENS:
            if text not in known:
                findings.add(
                    "general.name",
                    f"{name!r:.50}",
                    f"another name for a vocabulary without {text.decode()}",
                )
                return
    key = "tokenizer.ggml.bos_token_id"
    default = 1 if metadata.get("tokenizer.ggml.model") == "llama" else 11
    bos = metadata.get(key, default)
    if findings.flag("tokenizer.ggml.add_bos_token") and (
        type(bos) is not int or not 0 <= bos < n_tokens
    ):
        findings.add(key, f"{bos!r:.50}", f"a token from 0 to {n_tokens - 1}, which is to be added")


def _shown(text: bytes) -> str:
    return repr(text[:40].decode("utf-8", "replace"))

"""Llama 2's kind of tokenizer: which of its files count, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hivellm_lite.converters.tokenizers.sentencepiece_model import (
    BYTE,
    NORMAL,
    Piece,
    SentencePieceModel,
    read_sentencepiece_model,
)
from hivellm_lite.converters.tokenizers.vocabulary import (
    CONTROL,
    USER_DEFINED,
    Vocabulary,
)

from hivellm_lite.errors import ConversionError

from ...support.model_files import change_json, copy_model, vocabulary_in
from ...support.paths import MODELS


def read(folder: Path) -> Vocabulary:
    return vocabulary_in(folder)


def message(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2, len(content)]) + content


def integer(number: int, value: int) -> bytes:
    return bytes([number << 3, value])


def piece(text: str, score: bytes = b"", kind: int = NORMAL) -> bytes:
    return message(1, message(1, text.encode()) + score + integer(3, kind))


def model_file(*extra: bytes, trainer: bytes = integer(3, 2), normalizer: bytes = b"") -> bytes:
    """A model of all bytes and a letter; BPE and without normalisation unless said otherwise."""
    normalizer = normalizer or message(1, b"identity") + integer(3, 1) + integer(4, 0)
    pieces = [piece(f"<0x{byte:02X}>", kind=BYTE) for byte in range(256)]
    return b"".join([*pieces, piece("x"), *extra, message(2, trainer), message(3, normalizer)])


def test_the_model_file_is_read() -> None:
    found = read_sentencepiece_model(MODELS / "tiny-mistral" / "tokenizer.model")
    assert found.pieces[1] == Piece("<s>", 0.0, CONTROL)
    assert found.pieces[3] == Piece("<0x00>", 0.0, BYTE)
    assert len(found.pieces) == 480
    assert (found.model_type, found.normalizer) == (2, "identity")
    assert (found.add_prefix, found.removes_spaces) == (True, False)
    assert not read_sentencepiece_model(MODELS / "tiny-gemma2" / "tokenizer.model").add_prefix


def test_fields_that_are_not_needed_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    others = [integer(9, 5), bytes([9 << 3 | 5]) + bytes(4), bytes([9 << 3 | 1]) + bytes(8)]
    score = bytes([2 << 3 | 5]) + b"\0\0\x80\xbf"
    rules = message(1, b"identity") + message(2, b"charsmap") + integer(4, 0)
    path.write_bytes(model_file(piece("y", score), *others, normalizer=rules))
    assert read_sentencepiece_model(path) == SentencePieceModel(
        (
            *(Piece(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)),
            Piece("x", 0.0, NORMAL),
            Piece("y", -1.0, NORMAL),
        ),
        2,
        "identity",
        True,
        False,
    )


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "it has no pieces"),
        (b"\x0a\x7f", "field 1 is cut off"),
        (b"\x0b", "unknown wire type 3"),
        (b"\x80" * 12, "more than ten bytes"),
        (b"\x80", "index out of range"),
        (b"\x08\x05", "a number stands where bytes are expected"),
        (message(2, message(3, b"x")), "bytes stand where a number is expected"),
        (message(1, message(1, b"\xff")), "codec can't decode"),
        (message(1, bytes([2 << 3 | 1]) + bytes(8)), "requires a buffer of 4 bytes"),
    ],
)
def test_a_damaged_model_file_is_refused(data: bytes, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    path.write_bytes(data)
    with pytest.raises(ConversionError, match=f"not a SentencePiece model: .*{rule}"):
        read_sentencepiece_model(path)


def test_a_huge_model_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(ConversionError, match="larger than"):
        read_sentencepiece_model(path)


@pytest.mark.parametrize("name", ["tiny-mistral", "tiny-gemma2"])
def test_the_model_file_alone_suffices(name: str, tmp_path: Path) -> None:
    """With the companions that Transformers 4 wrote for its slow tokenizers."""
    folder = copy_model(name, tmp_path)
    (folder / "tokenizer.json").unlink()
    found, whole = read(folder), read(MODELS / name)
    assert (found.tokens, found.types, found.scores) == (whole.tokens, whole.types, whole.scores)
    assert found.special.ids == whole.special.ids
    assert found.special.add == whole.special.add
    assert found.add_space_prefix == whole.add_space_prefix


def test_scores_follow_the_order_of_the_merges(tmp_path: Path) -> None:
    folder = copy_model("tiny-mistral", tmp_path)
    (folder / "tokenizer.model").unlink()
    found, whole = read(folder), read(MODELS / "tiny-mistral")
    merges = json.loads((folder / "tokenizer.json").read_text())["model"]["merges"]
    made = {token_id for token_id, text in enumerate(found.tokens) if text in map("".join, merges)}
    order = sorted(made, key=lambda token_id: -found.scores[token_id])
    assert order == sorted(made, key=lambda token_id: -whole.scores[token_id])


def test_a_stale_model_file_is_not_used(tmp_path: Path) -> None:
    folder = copy_model("tiny-mistral", tmp_path)
    expected = (MODELS / "tiny-gemma2" / "tokenizer.model").read_bytes()
    (folder / "tokenizer.model").write_bytes(expected)
    found = read(folder)
    assert found.tokens == read(MODELS / "tiny-mistral").tokens
    assert "tokenizer.model is another vocabulary and is not used" in found.notes


def test_symbols_that_the_tokenizer_does_not_add_are_ordinary(tmp_path: Path) -> None:
    folder = copy_model("tiny-gemma2", tmp_path)
    change_json(folder / "tokenizer_config.json", added_tokens_decoder=None)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    kept = [token for token in tokenizer["added_tokens"] if token["content"] != "\n\n"]
    change_json(folder / "tokenizer.json", added_tokens=kept)
    types, texts = read(folder).types, read(folder).tokens
    assert types[texts.index("\n\n")] == NORMAL
    assert types[texts.index("\n\n\n")] == USER_DEFINED


def test_added_tokens_spell_spaces_as_spaces() -> None:
    found = read(MODELS / "tiny-gemma2")
    assert found.types[found.tokens.index("   ")] == USER_DEFINED
    assert "▁▁▁" not in found.tokens


SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
OLDER_METASPACE = {"type": "Metaspace", "replacement": "▁", "split": False}


@pytest.mark.parametrize(
    ("normalizer", "pre_tokenizer", "space_prefix"),
    [
        (None, METASPACE, "first"),
        (None, {**METASPACE, "prepend_scheme": "always"}, "always"),
        (None, {**METASPACE, "prepend_scheme": "never"}, "never"),
        (None, {**OLDER_METASPACE, "add_prefix_space": True}, "always"),
        (None, {**OLDER_METASPACE, "add_prefix_space": False}, "never"),
        (SPACES, None, "never"),
        (
            {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, SPACES]},
            None,
            "prepend",
        ),
    ],
)
def test_the_space_in_front_follows_the_tokenizer(
    normalizer: Any, pre_tokenizer: Any, space_prefix: str, tmp_path: Path
) -> None:
    folder = copy_model("tiny-mistral", tmp_path)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    path.write_text(
        json.dumps({**tokenizer, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer})
    )
    change_json(folder / "tokenizer_config.json", add_prefix_space=True)
    assert read(folder).space_prefix == space_prefix
    assert read(folder).add_space_prefix == (space_prefix != "never")


def changed(**model: Any) -> dict[str, Any]:
    tokenizer = json.loads((MODELS / "tiny-mistral" / "tokenizer.json").read_text())
    return {"model": {**tokenizer["model"], **model}}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"normalizer": {"type": "NFKC"}}, r"unknown normalizer or pre-tokenizer: .*'NFKC'"),
        ({"normalizer": "x"}, "a malformed one of the normalizers"),
        ({"normalizer": {"type": "Sequence"}}, "a malformed one of the normalizers"),
        ({"pre_tokenizer": {**METASPACE, "split": True}}, "unknown normalizer or pre-tokenizer"),
        ({"pre_tokenizer": None}, "unknown normalizer or pre-tokenizer"),
        (changed(dropout=0.5), "SentencePiece BPE with dropout"),
        (changed(ignore_merges=True), "SentencePiece BPE with ignore_merges"),
        (changed(vocab=[]), "does not map tokens to ids"),
        (changed(vocab={"a": 1, "b": 1}, merges=[]), "'a' and 'b' are both 1"),
        (changed(vocab={"a": 1}, merges=[]), "0 of the 256 byte tokens"),
        (changed(vocab={"a": 9999}, merges=[]), "'a' has the id 9999"),
        (changed(merges=None), "merges is missing"),
        (changed(merges=["a"]), "merge 0 is not a pair"),
        (changed(merges=[["a", "zzzz"]]), "merge 0 is not a pair"),
    ],
)
def test_a_tokenizer_that_llama_cpp_cannot_compute_is_refused(
    changes: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    folder = copy_model("tiny-mistral", tmp_path)
    (folder / "tokenizer.model").unlink()
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(ConversionError, match=rule):
        read(folder)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (model_file(trainer=integer(3, 1)), "that is not BPE"),
        (model_file(normalizer=message(1, b"nmt_nfkc")), "normalizer 'nmt_nfkc' has no"),
        (model_file(normalizer=integer(4, 1)), "removing extra spaces"),
        (piece("x") + message(2, integer(3, 2)) + message(3, integer(4, 0)), "0 of the 256 byte"),
    ],
)
def test_a_model_file_that_llama_cpp_cannot_compute_is_refused(
    data: bytes, rule: str, tmp_path: Path
) -> None:
    folder = copy_model("tiny-mistral", tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(data)
    with pytest.raises(ConversionError, match=rule):
        read(folder)

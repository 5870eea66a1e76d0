"""Texts become the same tokens in llama.cpp as in the tokenizer that was converted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.gguf_header import read_gguf_header
from hivellm_lite.converters.model_config import read_model_config
from hivellm_lite.converters.vocabulary import (
    CONTROL,
    NORMAL,
    UNUSED,
    USER_DEFINED,
    Vocabulary,
    read_vocabulary,
)

from hivellm_lite.errors import ConversionError

from . import llama
from .files import FIXTURES, MODELS, change_json, copy_model

TOKENS = json.loads((FIXTURES / "tokens.json").read_text())
NAMES = ("tiny-llama", "tiny-llama3", "tiny-qwen3")


@pytest.fixture(scope="session")
def vocabulary_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("vocabularies")

    def file(name: str) -> Path:
        path = folder / f"{name}.gguf"
        if not path.exists():
            convert_base(MODELS / name, path, quant="f16")
        return path

    return file


def vocabulary(name: str, folder: Path | None = None, **changes: Any) -> Vocabulary:
    """The vocabulary of a tiny model with keys of ``tokenizer.json`` changed."""
    source = MODELS / name
    if folder is not None:
        source = copy_model(name, folder)
        change_json(source / "tokenizer.json", **changes)
    return read_vocabulary(source, read_model_config(source))


def tokenizer_json(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((MODELS / name / "tokenizer.json").read_text())
    return value


@pytest.mark.parametrize("name", NAMES)
def test_hard_texts_become_the_reference_s_tokens(
    name: str, vocabulary_of: Callable[[str], Path]
) -> None:
    with llama.open_model(vocabulary_of(name), vocab_only=True) as model:
        for text, expected in zip(TOKENS["texts"], TOKENS[name], strict=True):
            assert llama.tokenize(model, text) == expected, text


@pytest.mark.parametrize("name", NAMES)
def test_tokens_spell_the_text_again(name: str, vocabulary_of: Callable[[str], Path]) -> None:
    with llama.open_model(vocabulary_of(name), vocab_only=True) as model:
        for text in TOKENS["texts"]:
            assert llama.detokenize(model, llama.tokenize(model, text)) == text.encode(), text


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_has_a_token(name: str, vocabulary_of: Callable[[str], Path]) -> None:
    """So a generation that stops inside a character can be continued byte for byte."""
    spellings = []
    with llama.open_model(vocabulary_of(name), vocab_only=True) as model:
        size = len(vocabulary(name).tokens)
        types = vocabulary(name).types
        spellings = [llama.detokenize(model, [i]) for i in range(size) if types[i] == NORMAL]
    assert {bytes([byte]) for byte in range(256)} <= set(spellings)


@pytest.mark.parametrize(("name", "adds"), [("tiny-llama3", True), ("tiny-qwen3", False)])
def test_bos_is_added_as_the_tokenizer_would(
    name: str, adds: bool, vocabulary_of: Callable[[str], Path]
) -> None:
    with llama.open_model(vocabulary_of(name), vocab_only=True) as model:
        plain = llama.tokenize(model, "x")
        assert llama.tokenize(model, "x", add_special=True) == [500] * adds + plain


def test_types_and_padding() -> None:
    found = vocabulary("tiny-qwen3")
    assert (len(found.tokens), len(found.types)) == (516, 516)
    assert found.tokens[500:506] == (
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<think>",
        "</think>",
        "[PAD505]",
    )
    assert found.types[500:506] == (CONTROL, CONTROL, CONTROL, USER_DEFINED, USER_DEFINED, UNUSED)
    assert set(found.types[:500]) == {NORMAL}


def test_merges_as_strings_and_as_pairs_are_the_same(tmp_path: Path) -> None:
    model = tokenizer_json("tiny-llama")["model"]
    joined = {**model, "merges": [" ".join(pair) for pair in model["merges"]]}
    plain = vocabulary("tiny-llama")
    assert plain.merges[0] == "e r"
    assert vocabulary("tiny-llama", tmp_path, model=joined).merges == plain.merges


def test_a_space_in_a_merge_is_spelled_as_a_byte(tmp_path: Path) -> None:
    model = tokenizer_json("tiny-llama")["model"]
    model["vocab"]["a b"] = model["vocab"].pop(model["merges"][-1][0] + model["merges"][-1][1])
    model["merges"][-1] = ["a ", "b"]
    assert vocabulary("tiny-llama", tmp_path, model=model).merges[-1] == "aĠ b"


def test_tokens_that_only_the_older_config_lists_count_too(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3", tmp_path)
    entries = {"505": {"content": "<new>", "special": True}, "506": {"content": "▁x"}}
    change_json(folder / "tokenizer_config.json", added_tokens_decoder=entries)
    found = read_vocabulary(folder, read_model_config(folder))
    assert found.tokens[505:507] == ("<new>", " x")
    assert found.types[505:507] == (CONTROL, USER_DEFINED)


def test_an_entry_that_is_listed_twice_or_malformed_adds_nothing(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3", tmp_path)
    entries = {"503": {"content": "<other>"}, "x": {"content": "y"}, "505": "z"}
    change_json(folder / "tokenizer_config.json", added_tokens_decoder=entries)
    assert read_vocabulary(folder, read_model_config(folder)) == vocabulary("tiny-qwen3")


def test_a_model_without_a_chat_template_gets_none(tmp_path: Path) -> None:
    folder = copy_model("tiny-llama", tmp_path)
    (folder / "chat_template.jinja").unlink()
    convert_base(folder, tmp_path / "model.gguf", quant="f16")
    assert "tokenizer.chat_template" not in read_gguf_header(tmp_path / "model.gguf").metadata


def test_a_token_with_a_role_is_a_control_token(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3", tmp_path)
    change_json(folder / "tokenizer_config.json", pad_token={"content": "<think>"})
    found = read_vocabulary(folder, read_model_config(folder))
    assert found.types[503] == CONTROL
    assert found.special.ids["pad"] == 503


@pytest.mark.parametrize("text", ["<|x|>", "<｜x｜>", "<unused7>", "<pad>"])
def test_a_token_that_looks_special_is_a_control_token(text: str, tmp_path: Path) -> None:
    added = tokenizer_json("tiny-qwen3")["added_tokens"]
    added.append({"id": 505, "content": text, "special": False})
    assert vocabulary("tiny-qwen3", tmp_path, added_tokens=added).types[505] == CONTROL


def test_what_llama_cpp_does_differently_is_noted(tmp_path: Path) -> None:
    added = tokenizer_json("tiny-qwen3")["added_tokens"]
    added[4]["rstrip"] = True
    notes = vocabulary("tiny-qwen3", tmp_path, added_tokens=added).notes
    assert "NFC" in notes[0]
    assert "spaces around </think>" in notes[1]


@pytest.mark.parametrize(
    "normalizer",
    [None, {"type": "Sequence", "normalizers": []}, {"type": "Sequence", "normalizers": None}],
)
def test_no_normalizer_needs_no_note(normalizer: object, tmp_path: Path) -> None:
    source = copy_model("tiny-qwen3", tmp_path)
    path = source / "tokenizer.json"
    path.write_text(json.dumps({**tokenizer_json("tiny-qwen3"), "normalizer": normalizer}))
    assert read_vocabulary(source, read_model_config(source)).notes == ()


def test_add_prefix_space_is_kept_for_llama_only(tmp_path: Path) -> None:
    for name, expected in (("tiny-llama", False), ("tiny-qwen3", None)):
        folder = copy_model(name, tmp_path)
        change_json(folder / "tokenizer_config.json", add_prefix_space=False)
        found = read_vocabulary(folder, read_model_config(folder))
        assert found.add_space_prefix is expected
        convert_base(folder, tmp_path / f"{name}.gguf", quant="f16")


def model_with(**changes: Any) -> dict[str, Any]:
    return {"model": {**tokenizer_json("tiny-llama")["model"], **changes}}


def added(*entries: object) -> dict[str, Any]:
    return {"added_tokens": [*tokenizer_json("tiny-llama")["added_tokens"], *entries]}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"model": None}, "has no model"),
        ({"model": []}, "has no model"),
        (model_with(type="Unigram"), "a Unigram tokenizer is not supported"),
        (model_with(byte_fallback=True), "SentencePiece tokenizer .* not supported yet"),
        (model_with(end_of_word_suffix="</w>"), "BPE with end_of_word_suffix"),
        (model_with(dropout=0.1), "BPE with dropout"),
        (model_with(vocab=[]), "does not map tokens to ids"),
        (model_with(vocab={"a": "0"}), "does not map tokens to ids"),
        (model_with(vocab={"a": 500}), "'a' has the id 500, but the model's vocabulary has 500"),
        (model_with(vocab={"a": -1}), "'a' has the id -1"),
        (model_with(vocab={"a": 7, "b": 7}), "'a' and 'b' are both 7"),
        (model_with(vocab={"\udc80": 7}), "is not valid Unicode"),
        (model_with(merges=[]), "merges is missing or empty"),
        (model_with(merges=None), "merges is missing or empty"),
        (model_with(merges=["er"]), "merge 0 is no pair"),
        (model_with(merges=[["e", "r", "s"]]), "merge 0 is no pair"),
        (model_with(merges=[["e", 1]]), "merge 0 is no pair"),
        (model_with(merges=[["e", "r"], ["e", "rrrr"]]), "merge 1 is no pair"),
        (added({"id": 0}), "has no content or id"),
        (added({"id": "0", "content": "x"}), "has no content or id"),
        (added("x"), "has no content or id"),
        (added({"id": 0, "content": "x"}), r"'x' \(0\) is defined twice"),
        (added({"id": 44, "content": "x"}), r"'x' \(44\) is defined twice"),
        (added({"id": 44, "content": "new"}), "are both 44"),
        (added({"id": 9999, "content": "new"}), "'new' has the id 9999"),
        ({"normalizer": {"type": "Lowercase"}}, r"\['Lowercase'\] has no counterpart"),
        ({"normalizer": "NFC"}, "normalizer is malformed"),
    ],
)
def test_a_tokenizer_that_cannot_be_expressed_is_refused(
    changes: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=rule):
        vocabulary("tiny-llama", tmp_path, **changes)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = copy_model("tiny-llama", tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ConversionError, match=r"has no tokenizer\.json"):
        read_vocabulary(folder, read_model_config(folder))


def test_a_folder_without_a_tokenizer_config_works(tmp_path: Path) -> None:
    folder = copy_model("tiny-llama", tmp_path)
    (folder / "tokenizer_config.json").unlink()
    found = read_vocabulary(folder, read_model_config(folder))
    assert found.special.ids == {"bos": 0, "eos": 2}

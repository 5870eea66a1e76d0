"""Tokens outside the model: the files that list them, and their types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hivellm_lite.converters.tokenizers.vocabulary import (
    CONTROL,
    USER_DEFINED,
)

from ...support.model_files import change_json, copy_model, vocabulary_in
from .tiny_tokenizers import tokenizer_json, vocabulary


def test_tokens_that_only_the_older_config_lists_count_too(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3", tmp_path)
    entries = {"505": {"content": "<new>", "special": True}, "506": {"content": "▁x"}}
    change_json(folder / "tokenizer_config.json", added_tokens_decoder=entries)
    found = vocabulary_in(folder)
    assert found.tokens[505:507] == ("<new>", " x")
    assert found.types[505:507] == (CONTROL, USER_DEFINED)


def test_an_entry_that_is_listed_twice_or_malformed_adds_nothing(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3", tmp_path)
    entries = {"503": {"content": "<other>"}, "x": {"content": "y"}, "505": "z"}
    change_json(folder / "tokenizer_config.json", added_tokens_decoder=entries)
    assert vocabulary_in(folder) == vocabulary("tiny-qwen3")


@pytest.mark.parametrize("name", ["tiny-mistral", "tiny-qwen3"])
def test_tokens_that_only_the_older_file_lists_count(name: str, tmp_path: Path) -> None:
    """As Transformers before 4.34 saved fine-tunes with a ChatML template."""
    folder, whole = copy_model(name, tmp_path), vocabulary(name)
    tokens = tokenizer_json(name)["added_tokens"]
    old = {t["content"]: t["id"] for t in tokens if t["content"] in ("<|im_end|>", "<think>")}
    kept = [token for token in tokens if token["content"] not in old]
    change_json(folder / "tokenizer.json", added_tokens=kept)
    change_json(folder / "tokenizer_config.json", added_tokens_decoder=None, eos_token=None)
    (folder / "added_tokens.json").write_text(json.dumps({**old, "<|im_start|>": 7, "x": "y"}))
    named = {"additional_special_tokens": ["<|im_end|>"], "eos_token": {"content": "<|im_end|>"}}
    (folder / "special_tokens_map.json").write_text(json.dumps(named))
    found = vocabulary_in(folder)
    assert (found.tokens, found.types) == (whole.tokens, whole.types)


@pytest.mark.parametrize("decoder", [None, {}])
def test_roles_of_the_older_file_count_where_the_config_has_no_decoder(
    decoder: object, tmp_path: Path
) -> None:
    """As in Transformers: `special_tokens_map.json` comes first in folders from before 4.34."""
    folder = copy_model("tiny-qwen3", tmp_path)
    options = {"added_tokens_decoder": decoder, "eos_token": "<|endoftext|>"}
    change_json(folder / "tokenizer_config.json", **options)
    roles = {"eos_token": {"content": "<|im_end|>"}, "pad_token": "</think>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(roles))
    found = vocabulary_in(folder)
    assert found.special.ids["eos"] == (500 if decoder == {} else 502)
    assert (found.special.ids.get("pad") == 504) == (decoder is None)
    assert (found.types[504] == CONTROL) == (decoder is None)


def test_a_token_with_a_role_is_a_control_token(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3", tmp_path)
    change_json(folder / "tokenizer_config.json", pad_token={"content": "<think>"})
    found = vocabulary_in(folder)
    assert found.types[503] == CONTROL
    assert found.special.ids["pad"] == 503


@pytest.mark.parametrize("text", ["<|x|>", "<｜x｜>", "<unused7>", "<pad>"])
def test_a_token_that_looks_special_is_a_control_token(text: str, tmp_path: Path) -> None:
    added = tokenizer_json("tiny-qwen3")["added_tokens"]
    added.append({"id": 505, "content": text, "special": False})
    assert vocabulary("tiny-qwen3", tmp_path, added_tokens=added).types[505] == CONTROL


def test_a_token_that_is_none_inside_a_word_is_noted(tmp_path: Path) -> None:
    added = tokenizer_json("tiny-qwen3")["added_tokens"]
    added[4]["single_word"] = True
    notes = vocabulary("tiny-qwen3", tmp_path, added_tokens=added).notes
    assert notes == ("</think> is a token inside a word too, in Transformers it is not",)

"""Control tokens in files are those of the loaded model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hivellm_lite.converters.base import convert_base

from hivellm_lite import ConversionError
from hivellm_lite.engine import Model
from hivellm_lite.prompts.template_files import base_template
from hivellm_lite.prompts.token_files import tokens_in_folder, tokens_in_gguf

from ..support.paths import MODELS

NAMES = ("tiny-qwen3", "tiny-llama3", "tiny-phi4", "tiny-phi3", "tiny-mistral", "tiny-gemma3")


@pytest.mark.parametrize("name", NAMES)
def test_files_name_the_tokens_of_the_model(name: str, tmp_path: Path):
    path = tmp_path / "model.gguf"
    convert_base(MODELS / name, path, quant="f16")
    listed = json.loads((MODELS / name / "tokenizer.json").read_text())["added_tokens"]
    # others are spelled otherwise in the model
    texts = [token["content"] for token in listed if token["content"].startswith("<")]
    text = "Hi".join(texts)
    model = Model(path)
    try:
        for files in (tokens_in_gguf(path), tokens_in_folder(MODELS / name)):
            assert files is not None
            assert files.named_parts(text) == model.named_parts(text)
            for one in texts:
                token = model.special_token(one)
                assert files.special_token(one) == token
                if token is not None:
                    assert files.piece(token, special=True) == model.piece(token, special=True)
            assert files.begin_token == model.begin_token
            found, wanted = base_template(files), base_template(model)
            assert (found.source, found.tokens) == (wanted.source, wanted.tokens)
    finally:
        model.close()


def test_a_folder_without_a_tokenizer_names_none(tmp_path: Path):
    assert tokens_in_folder(tmp_path) is None


def test_a_file_without_a_vocabulary_is_an_error(tmp_path: Path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF" + bytes(20))
    with pytest.raises(ConversionError):
        tokens_in_gguf(tmp_path / "x.gguf")

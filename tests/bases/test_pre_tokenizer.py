"""A base whose way of splitting text is not recognised, and is named by hand."""

from __future__ import annotations

import json
import shutil

import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.tokenizers.pre_tokenizer_names import PRE_TOKENIZERS

from hivellm_lite import ConversionError, Expert
from hivellm_lite.bases import find_base

from ..support.llama import open_model
from ..support.paths import MODELS


@pytest.fixture
def folder(tmp_path):
    """tiny-llama with a step of digits in front of its own split."""
    folder = tmp_path / "digits"
    shutil.copytree(MODELS / "tiny-llama", folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    digits = {"type": "Digits", "individual_digits": True}
    tokenizer["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [digits, digits, tokenizer["pre_tokenizer"]],
    }
    path.write_text(json.dumps(tokenizer))
    return folder


def pre_of(base):
    return read_gguf_header(base.path).metadata["tokenizer.ggml.pre"]


def test_it_is_refused_with_the_option_that_names_it(package, cache, folder):
    with pytest.raises(ConversionError, match=r"pre_tokenizer=NAME \(--pre-tokenizer NAME\)"):
        find_base(package, given=folder, cache=cache)


def test_it_is_converted_with_the_name_that_is_given_and_says_so(package, cache, folder):
    first = find_base(package, given=folder, cache=cache, pre_tokenizer="smollm")
    assert pre_of(first) == "smollm"
    assert "text is split as smollm, which was given by hand (pre_tokenizer)" in first.notes


def test_another_name_is_another_file_in_the_cache(package, cache, folder):
    first = find_base(package, given=folder, cache=cache, pre_tokenizer="smollm")
    other = find_base(package, given=folder, cache=cache, pre_tokenizer="qwen2")
    assert (pre_of(other), other.converted) == ("qwen2", True)
    again = find_base(package, given=folder, cache=cache, pre_tokenizer="smollm")
    assert (again.path, again.converted) == (first.path, False)


def test_a_name_that_llama_cpp_lacks_is_refused_with_those_it_has(package, cache, folder):
    with pytest.raises(ConversionError, match=r"no pre-tokenizer 'qwen'\nIts names are .*qwen2"):
        find_base(package, given=folder, cache=cache, pre_tokenizer="qwen")


def test_a_sentencepiece_tokenizer_has_none(package, cache):
    with pytest.raises(ConversionError, match="a SentencePiece tokenizer, which has no"):
        find_base(package, given=MODELS / "tiny-gemma3", cache=cache, pre_tokenizer="qwen2")


def test_experts_load_on_it(tiny_package, folder):
    with Expert.load(tiny_package(), base=folder, pre_tokenizer="smollm") as expert:
        assert "smollm" in expert.notes[0]


def test_every_command_that_converts_a_base_takes_it(tool, tiny_package, folder):
    path = tiny_package()
    options = ["--base", folder, "--pre-tokenizer", "smollm"]
    for command in ("convert", "estimate", "verify-conversion"):
        assert tool(command, path, *options)[0] == 0
    assert tool("run", path, "a", "--max-tokens", "1", "--template", "raw", *options)[0] == 0
    assert "--pre-tokenizer NAME" in tool("convert", path, "--base", folder)[2]


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_llama_cpp_has_every_name(name, tmp_path):
    convert_base(MODELS / "tiny-llama", tmp_path / "m.gguf", quant="q8_0", pre_tokenizer=name)
    with open_model(tmp_path / "m.gguf", vocab_only=True):
        pass

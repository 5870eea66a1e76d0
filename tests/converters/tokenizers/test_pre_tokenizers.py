from __future__ import annotations

import json
from typing import Any

import pytest
from hivellm_lite.converters.tokenizers.pre_tokenizers import recognise

from hivellm_lite.errors import ConversionError

from ...support.paths import MODELS

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
WORDS = {**BYTES, "use_regex": True}


def split(regex: str, **changes: Any) -> dict[str, Any]:
    kind = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
    return {**kind, **changes}


def sequence(*members: object) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(members)}


def regex_of(model: str) -> str:
    tokenizer = json.loads((MODELS / model / "tokenizer.json").read_text())
    regex: str = tokenizer["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"]
    return regex


QWEN2 = regex_of("tiny-qwen3")
GPT4O = regex_of("tiny-phi4")
QWEN35 = regex_of("tiny-qwen3_5")
LLAMA3 = QWEN2.replace(r"\p{N}| ", r"\p{N}{1,3}| ")


@pytest.mark.parametrize(
    ("pre_tokenizer", "ignore_merges", "name"),
    [
        (WORDS, False, "gpt-2"),
        ({"type": "ByteLevel", "add_prefix_space": False}, False, "gpt-2"),
        (sequence({"type": "Digits", "individual_digits": True}, WORDS), False, "smollm"),
        (sequence(split(QWEN2), BYTES), False, "qwen2"),
        (sequence(split(QWEN2.replace(r"\r\n", "\r\n")), BYTES), False, "qwen2"),
        (sequence(split(LLAMA3), BYTES), True, "llama-bpe"),
        (sequence(split(LLAMA3), BYTES), False, "smaug-bpe"),
        (sequence(split(GPT4O), BYTES), False, "gpt-4o"),
        (sequence(split(QWEN35), BYTES), False, "qwen35"),
        (sequence(sequence(split(QWEN2)), BYTES), False, "qwen2"),
    ],
)
def test_known_structures_have_names(
    pre_tokenizer: dict[str, Any], ignore_merges: bool, name: str
) -> None:
    tokenizer = {"pre_tokenizer": pre_tokenizer, "model": {"ignore_merges": ignore_merges}}
    assert recognise(tokenizer, "here") == name


@pytest.mark.parametrize(
    ("pre_tokenizer", "ignore_merges"),
    [
        (None, False),
        ([], False),
        ({"type": "Whitespace"}, False),
        ({"type": "Sequence", "pretokenizers": None}, False),
        ({"type": "ByteLevel", "add_prefix_space": True}, False),
        ({"type": "ByteLevel"}, False),
        (WORDS, True),
        (sequence({"type": "Digits", "individual_digits": False}, WORDS), False),
        (sequence(split(QWEN2)), False),
        (sequence(split(QWEN2), WORDS), False),
        (sequence(split(QWEN2), BYTES), True),
        (sequence(split(GPT4O), BYTES), True),
        (sequence(split(QWEN2 + "x"), BYTES), False),
        (sequence(split(QWEN2, behavior="Removed"), BYTES), False),
        (sequence(split(QWEN2, invert=True), BYTES), False),
        (sequence(split(QWEN2, pattern={"String": " "}), BYTES), False),
        (sequence(BYTES, split(QWEN2)), False),
    ],
)
def test_anything_else_is_refused_with_the_way_out(
    pre_tokenizer: object, ignore_merges: bool
) -> None:
    tokenizer = {"pre_tokenizer": pre_tokenizer, "model": {"ignore_merges": ignore_merges}}
    with pytest.raises(ConversionError, match="Use a ready GGUF file"):
        recognise(tokenizer, "here")

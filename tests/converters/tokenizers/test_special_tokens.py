from __future__ import annotations

from typing import Any

import pytest
from hivellm_lite.converters.tokenizers.special_tokens import (
    SpecialTokens,
    read_special_tokens,
)

from hivellm_lite.errors import ConversionError

ADDED = {"<s>": 1, "</s>": 2, "<pad>": 3}
TEXT = {"Sequence": {"id": "A"}}
BYTES = {"type": "ByteLevel"}


def special(name: str) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": 0}}


def template(*pieces: object) -> dict[str, Any]:
    return {"type": "TemplateProcessing", "single": list(pieces)}


def read(
    post_processor: object = None,
    options: dict[str, Any] | None = None,
    fallback: dict[str, int] | None = None,
    bos_by_default: bool = False,
) -> SpecialTokens:
    return read_special_tokens(
        {"post_processor": post_processor},
        options or {},
        fallback or {},
        ADDED,
        10,
        bos_by_default=bos_by_default,
        source="here",
    )


def test_ids_come_from_the_tokenizer_before_the_model() -> None:
    found = read(
        options={"bos_token": "<s>", "eos_token": {"content": "</s>"}, "unk_token": 5},
        fallback={"bos": 7, "pad": 8},
    )
    assert found.ids == {"bos": 1, "eos": 2, "pad": 8}


def test_a_token_that_is_not_in_the_vocabulary_falls_back() -> None:
    assert read(options={"eos_token": "<gone>"}, fallback={"eos": 4}).ids == {"eos": 4}


def test_what_the_tokenizer_denies_has_an_id_and_no_name() -> None:
    ids = {"bos": 1, "pad": 3}
    denied = read(options={"bos_token": None}, fallback=ids)
    assert (denied.ids, denied.unnamed) == (ids, {"bos"})
    generic = read(options={"tokenizer_class": "TokenizersBackend"}, fallback=ids)
    assert (generic.ids, generic.unnamed) == (ids, {"bos", "pad"})
    # others have tokens of their own in Transformers
    assert read(options={"tokenizer_class": "LlamaTokenizer"}, fallback=ids).unnamed == frozenset()


def test_an_id_beyond_the_vocabulary_is_refused() -> None:
    with pytest.raises(ConversionError, match="the eos token has the id 10"):
        read(fallback={"eos": 10})


@pytest.mark.parametrize(
    ("post_processor", "options", "add"),
    [
        (None, {}, {}),
        (None, {"add_bos_token": True, "add_eos_token": False}, {"bos": True, "eos": False}),
        (BYTES, {}, {"bos": False, "eos": False}),
        (BYTES, {"add_bos_token": True}, {"bos": False, "eos": False}),
        (template(TEXT), {}, {}),
        (template(special("<s>"), TEXT), {"bos_token": "<s>"}, {"bos": True}),
        (
            template(special("<s>"), TEXT, special("</s>")),
            {"bos_token": "<s>", "eos_token": "</s>"},
            {"bos": True, "eos": True},
        ),
        (
            {"type": "Sequence", "processors": [BYTES, template(special("<s>"), TEXT)]},
            {"bos_token": "<s>"},
            {"bos": True, "eos": False},
        ),
        (
            {"type": "Sequence", "processors": [template(special("<s>"), TEXT), BYTES]},
            {"bos_token": "<s>"},
            {"bos": True, "eos": False},
        ),
    ],
)
def test_what_is_added_follows_the_post_processor(
    post_processor: object, options: dict[str, Any], add: dict[str, bool]
) -> None:
    assert read(post_processor, options).add == add


def test_a_template_names_a_bos_that_the_config_forgot() -> None:
    assert read(template(special("<s>"), TEXT)) == SpecialTokens({"bos": 1}, {"bos": True})


def test_llama_cpp_s_own_default_is_overruled() -> None:
    assert read(bos_by_default=True).add == {"bos": False}
    added = read(template(special("<s>"), TEXT), {"bos_token": "<s>"}, bos_by_default=True)
    assert added.add == {"bos": True}


@pytest.mark.parametrize(
    ("post_processor", "rule"),
    [
        ({"type": "BertProcessing"}, "'BertProcessing' is not supported"),
        ("x", "post-processor None is not supported"),
        (template(), "template .* is not supported"),
        ({"type": "TemplateProcessing"}, "template None is not supported"),
        (template(TEXT, TEXT), "template .* is not supported"),
        (template(special("<s>"), special("<s>"), TEXT), "template .* is not supported"),
        (template(special("<s>"), TEXT), "adds '<s>', but bos_token is '<pad>'"),
    ],
)
def test_a_post_processor_that_gguf_cannot_express_is_refused(
    post_processor: object, rule: str
) -> None:
    with pytest.raises(ConversionError, match=rule):
        read(post_processor, {"bos_token": "<pad>"})

"""Adapters of a base that got or lost tokens run as a variant with a vocabulary of its own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.gguf.arrays import read_numbers, read_strings
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.gguf.split import split_metadata
from hivellm_lite.converters.tokenizers.resized import resized_vocabulary

from hivellm_lite import ConversionError, Expert
from hivellm_lite.verification import log_probabilities, verify_conversion

from ..support.paths import FIXTURES, MODELS

REFERENCE = np.load(FIXTURES / "resized.npz")
IDS = np.load(FIXTURES / "reference.npz")
BASES = {"saved": "tiny-llama", "lora": "tiny-llama", "tied": "tiny-qwen3", "smaller": "tiny-llama"}
EXACT = {"n_ctx": 64, "kv_type": "f32", "flash_attention": False}


def package(name: str, folder: Path) -> Path:
    place = folder / name
    shutil.copytree(FIXTURES / "resized" / name, place)
    manifest = {"name": "x", "version": "1.0.0", "base_model": {"name": BASES[name]}}
    (place / "manifest.json").write_text(json.dumps(manifest))
    return place


def load(name: str, folder: Path, **options: object) -> Expert:
    options = {"quantization": "f32", "variant_type": "f32", **EXACT, **options}
    return Expert.load(
        package(name, folder), base=MODELS / BASES[name], cache_dir=folder / "cache", **options
    )


def expected(name: str) -> tuple[list[int], np.ndarray]:
    """The tokens, and PEFT's log-probabilities after each of them."""
    rows = REFERENCE[name].astype(np.float64)
    ids = [int(token) for token in IDS[f"{BASES[name]}/ids/0"]]
    n_before = IDS[f"{BASES[name]}/logits/0"].shape[1]
    rows -= np.log(np.exp(rows).sum(1, keepdims=True))
    return [*ids, min(n_before, rows.shape[1] - 1)], rows


@pytest.mark.parametrize("name", sorted(BASES))
def test_the_answers_are_those_of_peft(name: str, tmp_path: Path) -> None:
    ids, rows = expected(name)
    with load(name, tmp_path) as expert:
        assert expert.prepared.form == "variant"
        found = log_probabilities(expert.session, expert.applied(), ids[:1], [*ids[1:], 0])
    assert found.shape == rows.shape
    assert np.abs(found - rows).max() < 1e-3
    np.testing.assert_array_equal(found.argmax(1), rows.argmax(1))


def test_new_tokens_have_their_names_and_kinds(tmp_path: Path) -> None:
    with load("saved", tmp_path) as expert:
        model = expert.session.model
        first, second = (model.special_token(f"<|added_{index}|>") for index in (500, 501))
        assert min(first, second) >= 500
        # The text of a user never becomes a control token.
        assert not {first, second} & set(model.tokenize("<|added_500|> <|added_501|>"))
        assert model.special_token("<|added_499|>") is None


def test_a_reload_uses_what_was_converted_and_verifies(tmp_path: Path) -> None:
    with load("lora", tmp_path) as first:
        verified = verify_conversion(first, ["Hello"], max_tokens=3)
        assert max(tensor.served for tensor in verified.tensors) < 1e-5
        assert verified.served is not None
        assert verified.served.kl_mean < 1e-6
        package_path = first.package.source
    again = Expert.load(
        package_path, base=MODELS / "tiny-llama", cache_dir=tmp_path / "cache",
        quantization="f32", variant_type="f32", **EXACT,
    )  # fmt: skip
    with again:
        assert not again.prepared.converted


def test_on_a_quantised_base_the_new_rows_are_kept(tmp_path: Path) -> None:
    ids, rows = expected("saved")
    with load("saved", tmp_path, quantization="q8_0", variant_type=None) as expert:
        found = log_probabilities(expert.session, expert.applied(), ids[:1], [*ids[1:], 0])
    assert float((np.exp(rows) * (rows - found)).sum(1).mean()) < 0.2


def test_an_expert_beside_it_keeps_the_vocabulary_of_the_base(tmp_path: Path) -> None:
    from hivellm_lite import ExpertManager

    plain = tmp_path / "plain"
    shutil.copytree(FIXTURES / "adapters" / "tiny-llama" / "plain", plain)
    manifest = {"name": "plain", "version": "1.0.0", "base_model": {"name": "tiny-llama"}}
    (plain / "manifest.json").write_text(json.dumps(manifest))
    with ExpertManager(
        base=MODELS / "tiny-llama", quantization="f32", cache_dir=tmp_path / "cache", n_ctx=64
    ) as manager:
        manager.load_expert("resized", package("saved", tmp_path))
        manager.load_expert("plain", plain)
        for name in ("resized", "plain", "resized"):
            text = manager.generate(name, "Hello", max_tokens=4, template="raw").text
            assert isinstance(text, str)


# --- the vocabulary itself ---------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("base") / "base.gguf"
    convert_base(MODELS / "tiny-llama", path, quant="f32")
    return path


def test_tokens_without_a_name_are_placeholders(base: Path, tmp_path: Path) -> None:
    header = read_gguf_header(base)
    changed = resized_vocabulary(header, 503, tmp_path)
    assert b"[PAD502]" in changed["tokenizer.ggml.tokens"][1]
    types = np.frombuffer(changed["tokenizer.ggml.token_type"][1][12:], "<i4")
    assert types.tolist()[:500] == read_numbers(header, "tokenizer.ggml.token_type").tolist()
    assert types.tolist()[500:] == [5, 5, 5]


def test_an_added_word_is_no_control_token(base: Path, tmp_path: Path) -> None:
    added = [
        {"id": 500, "content": "Fachwort", "special": False},
        {"id": 501, "content": "[CALL]", "special": True},
    ]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    changed = resized_vocabulary(read_gguf_header(base), 502, tmp_path)
    types = np.frombuffer(changed["tokenizer.ggml.token_type"][1][12:], "<i4")
    assert types.tolist()[500:] == [4, 3]
    assert b"Fachwort" in changed["tokenizer.ggml.tokens"][1]


def test_spare_rows_get_the_names_that_the_package_gives_them(base: Path, tmp_path: Path) -> None:
    header = read_gguf_header(base)
    larger = resized_vocabulary(header, 502, tmp_path)
    padded = tmp_path / "padded.gguf"
    split_metadata(header, padded, 1, larger)
    spare = read_gguf_header(padded, part=True)
    assert resized_vocabulary(spare, None, tmp_path) == {}
    added = [{"id": 501, "content": "<|call|>", "special": True}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    changed = resized_vocabulary(spare, None, tmp_path)
    assert b"<|call|>" in changed["tokenizer.ggml.tokens"][1]
    types = np.frombuffer(changed["tokenizer.ggml.token_type"][1][12:], "<i4")
    assert types.tolist()[500:] == [5, 3]


def test_a_name_that_the_base_has_is_refused(base: Path, tmp_path: Path) -> None:
    taken = read_strings(read_gguf_header(base), "tokenizer.ggml.tokens")[300].decode()
    added = [{"id": 500, "content": taken, "special": True}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": added}))
    with pytest.raises(ConversionError, match="the added tokens: "):
        resized_vocabulary(read_gguf_header(base), 501, tmp_path)


def test_a_vocabulary_without_its_end_token_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"a vocabulary of 1 tokens has no token"):
        resized_vocabulary(read_gguf_header(base), 1, tmp_path)


def test_a_vocabulary_out_of_proportion_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="tokens are added; 100000 are possible"):
        resized_vocabulary(read_gguf_header(base), 1 << 20, tmp_path)

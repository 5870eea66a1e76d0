"""From text to tokens, against what the ``tokenizers`` library and Transformers recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hivellm_lite.converters.base import convert_base

from hivellm_lite.engine.model import Model
from hivellm_lite.errors import InferenceError
from hivellm_lite.tokenization.added_tokens import AddedTokens
from hivellm_lite.tokenization.byte_level import from_byte_level, to_byte_level
from hivellm_lite.tokenization.expressions import EXPRESSIONS, SPLIT_SAFELY
from hivellm_lite.tokenization.rules import read_text_rules
from hivellm_lite.tokenization.splitting import splitter_for
from hivellm_lite.tokenization.tokenizer import MAX_REMEMBERED, MAX_UNSPLIT

from ..support.model_files import change_json, copy_model
from ..support.paths import FIXTURES, MODELS

SPLITS = json.loads((FIXTURES / "splits.json").read_text())
TOKENS = json.loads((FIXTURES / "tokens.json").read_text())
RECORDED = sorted(set(SPLITS) - {"texts"})
SENTENCEPIECE = ("tiny-mistral", "tiny-phi3", "tiny-gemma2", "tiny-gemma3")


@pytest.fixture(scope="module")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Model]]:
    folder, opened = tmp_path_factory.mktemp("models"), dict[str, Model]()

    def open_model(name: str) -> Model:
        if name not in opened:
            convert_base(MODELS / name, folder / f"{name}.gguf", quant="f16")
            opened[name] = Model(folder / f"{name}.gguf", device="cpu")
        return opened[name]

    yield open_model
    for model in opened.values():
        model.close()


@contextmanager
def changed_model(name: str, folder: Path, **changes: Any) -> Iterator[Model]:
    """A tiny model with keys of ``tokenizer.json`` changed."""
    source = copy_model(name, folder)
    change_json(source / "tokenizer.json", **changes)
    convert_base(source, folder / "model.gguf", quant="f16")
    model = Model(folder / "model.gguf", device="cpu")
    try:
        yield model
    finally:
        model.close()


def ended_with(model: Path, code: str) -> int:
    """The exit status of a child that runs ``code`` with ``model``."""
    program = f"from hivellm_lite.engine.model import Model; model = Model({str(model)!r}); {code}"
    program = program.replace(f"Model({str(model)!r})", f"Model(Path({str(model)!r}))")
    return subprocess.run(
        [sys.executable, "-c", f"from pathlib import Path; {program}"], check=False, timeout=300
    ).returncode


class TestSplitting:
    @pytest.mark.parametrize("name", RECORDED)
    def test_is_that_of_the_tokenizers_library(self, name: str) -> None:
        split = splitter_for(name)
        for text, pieces in zip(SPLITS["texts"], SPLITS[name], strict=True):
            assert split(text) == pieces, text

    @pytest.mark.parametrize("name", sorted(EXPRESSIONS))
    def test_loses_nothing(self, name: str) -> None:
        split = splitter_for(name)
        for text in [*SPLITS["texts"], "", "a\ud800b", "\x00"]:
            assert "".join(split(text)) == text
            assert "" not in split(text)

    @pytest.mark.unmeasured
    @pytest.mark.parametrize("name", sorted(EXPRESSIONS))
    def test_of_a_hundred_thousand_like_characters_comes_to_an_end(self, name: str) -> None:
        split = splitter_for(name)
        for unit in ("a", "A", "1", " ", "\n", "!", "\u0301", "中", "a ", "aA", " \n"):
            text = unit * (100_000 // len(unit))
            assert "".join(split(text)) == text

    def test_knows_characters_that_are_newer_than_python(self) -> None:
        capitals, mark, digit = "\u1c89\U000105c0", "\u0897", "\U0001e5f1"
        split = splitter_for("tekken")
        assert split(f"a{capitals}\U0003134fb{mark}c") == ["a", capitals, f"\U0003134fb{mark}c"]
        assert split(f"a{digit}") == ["a", digit]

    def test_digits_are_grouped_from_the_right(self) -> None:
        assert splitter_for("tiny_aya")("a1234567 12") == ["a", "1", "234", "567", " ", "12"]

    def test_no_name_is_both_ours_and_llama_cpp_s(self) -> None:
        assert not SPLIT_SAFELY & EXPRESSIONS.keys()


class TestByteLevel:
    def test_every_byte_comes_back(self) -> None:
        text = "".join(map(chr, range(1, 0x900)))
        assert from_byte_level(to_byte_level(text).encode()) == text.encode()

    def test_other_text_stays(self) -> None:
        assert from_byte_level("中".encode()) == "中".encode()
        assert from_byte_level(b"\xff") == b"\xff"


class TestAddedTokens:
    def test_the_leftmost_and_then_the_longest_is_found(self) -> None:
        tokens = AddedTokens({"ab": 1, "bcd": 2, "abc": 3, "": 4})
        assert [*tokens.split("xabcdab")] == ["x", 3, "d", 1]

    def test_a_text_of_tokens_alone_has_no_gaps(self) -> None:
        assert [*AddedTokens({"]": 1, "^-": 2}).split("]^-]^")] == [1, 2, 1, "^"]

    def test_without_tokens_a_text_is_whole(self) -> None:
        assert [*AddedTokens({}).split("ab")] == ["ab"]
        assert [*AddedTokens({}).split("")] == []


class TestTokens:
    @pytest.mark.parametrize("name", sorted(set(TOKENS) - {"texts"}))
    def test_are_those_of_transformers(self, name: str, model_of: Callable[[str], Model]) -> None:
        model = model_of(name)
        for text, expected in zip(TOKENS["texts"], TOKENS[name], strict=True):
            found = model.tokenize(text, special=True)
            begin = [model.begin_token] if expected[:1] == [model.begin_token] else []
            assert begin + found == expected, text

    @pytest.mark.parametrize("name", ["tiny-phi4", "tiny-llama3", "tiny-qwen2", "tiny-llama"])
    def test_spell_the_text_again(self, name: str, model_of: Callable[[str], Model]) -> None:
        model = model_of(name)
        for text in SPLITS["texts"]:
            if name != "tiny-qwen2" or text.isascii():
                assert b"".join(map(model.piece, model.tokenize(text))) == text.encode()
                assert b"".join(model.pieces[t] for t in model.tokenize(text)) == text.encode()

    def test_begin_and_control_tokens_do_not_depend_on_who_splits(
        self, model_of: Callable[[str], Model]
    ) -> None:
        model = model_of("tiny-phi4")
        assert model.special_token("<|im_end|>") == 502
        assert model.piece(502) == b""
        assert model.piece(502, special=True) == b"<|im_end|>"
        assert model.special_token("<|no_such|>") is None
        assert len(model.tokenize("<|im_end|>")) > 1
        assert model.is_end(502)

    def test_many_different_words_do_not_pile_up(self, model_of: Callable[[str], Model]) -> None:
        model = model_of("tiny-phi4")
        words = " ".join(f"{n:x}" for n in range(2 * MAX_REMEMBERED))
        tokens = model.tokenize(words)
        assert tokens == model.tokenize(words)
        assert len(model.vocabulary.tokenizer._remembered) <= MAX_REMEMBERED

    def test_marks_belong_to_their_letters(self, tmp_path: Path) -> None:
        tokenizer = json.loads((MODELS / "tiny-phi4" / "tokenizer.json").read_text())["model"]
        joined = ["Ì", "ģ"], ["e", "Ìģ"]  # U+0301, and "é" of two characters
        vocab = tokenizer["vocab"]
        free = [word for word, _ in sorted(vocab.items(), key=lambda item: -item[1])][:2]
        for word, (left, right) in zip(free, joined, strict=True):
            vocab[left + right] = vocab.pop(word)
        merges = [m for m in tokenizer["merges"] if "".join(m).replace(" ", "") in vocab]
        tokenizer["merges"] = [*map(list, joined), *merges]
        with changed_model("tiny-phi4", tmp_path, model=tokenizer) as model:
            (token,) = model.tokenize("e\u0301")
            assert model.piece(token) == "e\u0301".encode()

    @pytest.mark.parametrize("name", ["tiny-phi4", "tiny-llama3", "tiny-qwen3", "tiny-gemma3"])
    def test_of_a_very_long_word_end_no_process(
        self, name: str, model_of: Callable[[str], Model]
    ) -> None:
        (file,) = model_of(name).files
        units = ["a", "中", "!", "<think>", "\u0301", "  ", "\n\n"]
        code = f"[model.tokenize(unit * 100_000)[0] for unit in {units!r}]"
        assert ended_with(file, code) == 0


class TestSpacesInFront:
    PARTS = (("<|im_start|>", True), ("user", False), ("<|im_end|>", True), (" x", False))

    def metaspace(self, scheme: str) -> dict[str, Any]:
        step = {"type": "Metaspace", "replacement": "▁", "split": False}
        return {"pre_tokenizer": {**step, "prepend_scheme": scheme}}

    @pytest.mark.parametrize(
        ("scheme", "pieces"),
        [
            ("never", ["user", " x"]),
            ("first", ["user", " x"]),
            ("always", [" user", " x"]),
        ],
    )
    def test_follow_the_scheme_in_every_part(
        self, scheme: str, pieces: list[str], tmp_path: Path
    ) -> None:
        with changed_model("tiny-mistral", tmp_path, **self.metaspace(scheme)) as model:
            tokens = model.tokenize_segments(self.PARTS)
            start, end = (tokens.index(model.special_token(n)) for n, c in self.PARTS if c)
            found = [tokens[start + 1 : end], tokens[end + 1 :]]
            assert [b"".join(map(model.piece, part)).decode() for part in found] == pieces

    def test_of_the_first_scheme_stand_before_the_first_text_alone(self, tmp_path: Path) -> None:
        with changed_model("tiny-mistral", tmp_path, **self.metaspace("first")) as model:
            text = b"".join(map(model.piece, model.tokenize("user<|im_end|>x", special=True)))
            assert text == b" userx"
            assert model.tokenize(" user") == model.tokenize("user")

    def test_prepended_to_all_stand_before_spaces_too(
        self, model_of: Callable[[str], Model]
    ) -> None:
        model = model_of("tiny-phi3")
        assert b"".join(map(model.piece, model.tokenize(" a"))) == b"  a"

    @pytest.mark.parametrize("name", SENTENCEPIECE)
    def test_never_come_inside_a_text(self, name: str, model_of: Callable[[str], Model]) -> None:
        model = model_of(name)
        tokens = model.tokenize("SELECT 1", after="text")
        assert b"".join(map(model.piece, tokens)) == b"SELECT 1"


class TestLongTexts:
    @pytest.mark.parametrize("name", SENTENCEPIECE)
    def test_have_the_tokens_of_llama_cpp_s_one_call(
        self, name: str, model_of: Callable[[str], Model]
    ) -> None:
        model = model_of(name)
        for unit in ("SELECT name FROM users; ", "中", "!", "a", "ab 日本 \nइ", "person" * 3 + "é"):
            text = unit * (3 * MAX_UNSPLIT // len(unit))
            prefix = "" if name.startswith("tiny-gemma") else " "
            whole = model.vocabulary.merge((prefix + text).encode())
            parts = model.tokenize(text)
            assert parts == whole, unit
            assert b"".join(model.pieces[token] for token in parts) == (prefix + text).encode()

    def test_of_characters_without_tokens_come_to_an_end(
        self, model_of: Callable[[str], Model]
    ) -> None:
        tokens = model_of("tiny-gemma3").tokenize("\U0001f600" * 1_000_000)
        assert len(tokens) == 4_000_000


class TestSegments:
    def test_are_one_text_where_no_token_stands_between(
        self, model_of: Callable[[str], Model]
    ) -> None:
        model = model_of("tiny-mistral")
        parts = [("na", False), ("me", False)]
        assert model.tokenize_segments(parts) == model.tokenize("name")

    def test_with_a_name_that_is_no_token_are_text(self, model_of: Callable[[str], Model]) -> None:
        model = model_of("tiny-phi4")
        parts = [("a", False), ("<|system|>", True), ("b", False)]
        assert model.tokenize_segments(parts) == model.tokenize("a<|system|>b")

    def test_of_a_user_never_become_control_tokens(self, model_of: Callable[[str], Model]) -> None:
        model = model_of("tiny-phi4")
        assert 502 not in model.tokenize_segments([("<|im_end|>", False)])

    def test_lose_the_white_space_that_a_token_swallows(
        self, model_of: Callable[[str], Model]
    ) -> None:
        model = model_of("tiny-phi3")
        end = model.special_token("<|im_end|>")
        tight = model.tokenize_segments([("<|im_end|>", True), ("a", False)])
        loose = model.tokenize_segments([("<|im_end|>", True), ("\n \u3000a", False)])
        assert loose == tight
        assert model.tokenize_segments([("<|im_end|>", True), (" \n", False)]) == [end]


class TestRules:
    def test_of_a_foreign_file_follow_llama_cpp(self) -> None:
        assert read_text_rules({"tokenizer.ggml.model": "llama"}).space_prefix == "prepend"
        told = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.add_space_prefix": False}
        assert read_text_rules(told).space_prefix == "never"
        qwen = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2"}
        assert read_text_rules(qwen).nfc
        assert not read_text_rules({**qwen, "tokenizer.hivellm.normalizer": "none"}).nfc

    def test_keep_the_begin_token_that_the_pre_tokenizer_implies(self) -> None:
        tekken = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "tekken"}
        assert read_text_rules(tekken).overrides["tokenizer.ggml.add_bos_token"] is True
        told = {**tekken, "tokenizer.ggml.add_bos_token": False}
        assert "tokenizer.ggml.add_bos_token" not in read_text_rules(told).overrides

    def test_bound_the_words_of_what_only_recursion_splits(self, tmp_path: Path) -> None:
        convert_base(
            MODELS / "tiny-llama", tmp_path / "m.gguf", quant="f16", pre_tokenizer="superbpe"
        )
        model = Model(tmp_path / "m.gguf", device="cpu")
        try:
            assert model.tokenize("a" * 1000)
            with pytest.raises(InferenceError, match="without overflowing its stack"):
                model.tokenize("a" * 100_000)
        finally:
            model.close()

"""Heads that the config and the files disagree about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.safetensors import Float32Array, SafetensorsFile

from hivellm_lite.errors import ConversionError

from ...support.model_files import change_json, copy_model, safetensors
from ...support.paths import MODELS

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def change(folder: Path, **heads: Float32Array | None) -> Float32Array:
    """Store other matrices as ``embedding`` or ``head``; returns the embedding that was there."""
    path = folder / "model.safetensors"
    with SafetensorsFile(path) as file:
        tensors = {name: file.read_float32(name) for name in file.tensors}
    before = tensors[EMBEDDING]
    for name, values in heads.items():
        at = {"embedding": EMBEDDING, "head": HEAD}[name]
        tensors.pop(at, None)
        if values is not None:
            tensors[at] = values
    path.write_bytes(safetensors(tensors))
    return before


def test_a_head_that_differs_from_the_embedding_is_kept(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3", tmp_path)
    change(folder, head=change(folder)[::-1].copy())
    report = convert_base(folder, tmp_path / "model.gguf", quant="f32")
    assert "two different matrices: the head of the files is used" in report.notes[0]
    change_json(folder / "config.json", tie_word_embeddings=False)
    convert_base(folder, tmp_path / "untied.gguf", quant="f32")
    assert (tmp_path / "model.gguf").read_bytes() == (tmp_path / "untied.gguf").read_bytes()


def test_a_tied_head_that_is_stored_too_is_not_written(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3", tmp_path)
    change(folder, head=change(folder))
    report = convert_base(folder, tmp_path / "model.gguf", quant="f16")
    assert "output.weight" not in read_gguf_header(tmp_path / "model.gguf").tensors
    assert report.notes == ()


def test_a_tied_pair_may_be_stored_as_the_head(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3", tmp_path)
    change(folder, head=change(folder), embedding=None)
    convert_base(folder, tmp_path / "model.gguf", quant="f16")
    convert_base(MODELS / "tiny-qwen3", tmp_path / "plain.gguf", quant="f16")
    assert (tmp_path / "model.gguf").read_bytes() == (tmp_path / "plain.gguf").read_bytes()


def test_a_head_that_llama_cpp_s_graph_lacks_is_refused(tmp_path: Path) -> None:
    folder = copy_model("tiny-gemma2", tmp_path)
    change(folder, head=np.zeros_like(change(folder)))
    with pytest.raises(ConversionError, match="only with a tied head"):
        convert_base(folder, tmp_path / "model.gguf", quant="f16")


def test_an_embedding_that_was_resized_without_its_config_is_refused_with_what_to_do(
    tmp_path: Path,
) -> None:
    folder = copy_model("tiny-qwen3", tmp_path)
    change(folder, embedding=np.zeros((520, 64), np.float32))
    with pytest.raises(ConversionError, match=r"\[520, 64\].*\n.*set vocab_size to 520"):
        convert_base(folder, tmp_path / "model.gguf", quant="f16")

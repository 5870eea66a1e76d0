"""Copies of base weights beside an adapter count where they differ from the base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters import Adapter, read_adapter
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.forms.base_copies import on_its_copies
from hivellm_lite.converters.forms.fitting import find_targets
from hivellm_lite.converters.forms.merging import merged
from hivellm_lite.converters.forms.weights import gguf_weights

from ...support.model_files import Array, lora, write_adapter
from ...support.paths import MODELS

Q = "model.layers.0.self_attn.q_proj"
EMBEDDING = "base_model.model.model.embed_tokens"


def embedding_of(whole: Path) -> Array:
    with gguf_weights(whole) as source:
        return source.read_tensor(source.header.tensors["token_embd.weight"]).copy()


def adapter_with(copy: Array, folder: Path, n_out: int = 64) -> Adapter:
    rng = np.random.default_rng(1)
    tensors = {
        **lora(Q, n_out=n_out),
        f"{EMBEDDING}.lora_embedding_A": rng.standard_normal((2, len(copy)), np.float32),
        f"{EMBEDDING}.lora_embedding_B": rng.standard_normal((64, 2), np.float32),
        f"{EMBEDDING}.base_layer.weight": copy,
    }
    return read_adapter(*write_adapter(folder, tensors))


@pytest.fixture(params=["f32", "q8_0", "q4_0"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    convert_base(MODELS / "tiny-llama", tmp_path / "base.gguf", quant=request.param)
    return tmp_path / "base.gguf"


def test_a_copy_that_is_the_base_changes_nothing(base: Path, tmp_path: Path) -> None:
    convert_base(MODELS / "tiny-llama", tmp_path / "f32.gguf", quant="f32")
    adapter = adapter_with(embedding_of(tmp_path / "f32.gguf"), tmp_path)
    with gguf_weights(base) as source:
        same = on_its_copies(adapter, source.header, source)
    assert same is adapter
    assert same.is_lora


def test_a_copy_with_other_rows_is_what_the_adapter_belongs_to(base: Path, tmp_path: Path) -> None:
    convert_base(MODELS / "tiny-llama", tmp_path / "f32.gguf", quant="f32")
    copy = embedding_of(tmp_path / "f32.gguf")
    copy[480:] = np.random.default_rng(2).standard_normal((20, 64), np.float32) * copy.std()
    adapter = adapter_with(copy, tmp_path)
    with gguf_weights(base) as source:
        other = on_its_copies(adapter, source.header, source)
        assert not other.is_lora
        assert other.base_copies == ()
        found = {t.gguf_name: (t, u) for t, u in find_targets(other, source.header)}
        target, update = found["token_embd.weight"]
        delta = adapter.tensors[0].update.delta()
        np.testing.assert_allclose(merged(target, [update], source), copy + delta, atol=1e-5)


def test_on_a_tied_base_a_copy_is_the_head_too(
    split_base: Callable[[str], list[Path]], tmp_path: Path
) -> None:
    whole = split_base("tiny-qwen3")[0].with_name("whole.gguf")
    copy = embedding_of(whole)
    copy[7] += 1
    adapter = adapter_with(copy, tmp_path, n_out=128)
    with gguf_weights(whole) as source:
        other = on_its_copies(adapter, source.header, source)
        found = {t.gguf_name: (t, u) for t, u in find_targets(other, source.header)}
        head = merged(found["output.weight"][0], [found["output.weight"][1]], source)
    np.testing.assert_array_equal(head, copy)

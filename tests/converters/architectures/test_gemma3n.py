"""Gemma 3n, whose tiny model is made anew: see `gemma3n_model`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hivellm_lite.converters import read_adapter
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.forms.lora import convert_lora
from hivellm_lite.converters.gguf.header import read_gguf_header

from hivellm_lite.errors import ConversionError

from ...support import llama
from ...support.gemma3n_model import write_gemma3n
from ...support.model_files import change_json, safetensors
from ...support.paths import FIXTURES

SAVED = FIXTURES / "gemma3n"
REFERENCE = np.load(SAVED / "reference.npz")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gemma3n(tmp_path_factory.mktemp("gemma3n") / "model", safetensors)


def test_logits_are_those_of_pytorch(folder: Path, tmp_path: Path) -> None:
    convert_base(folder, tmp_path / "a.gguf", quant="f32")
    logits = llama.logits(tmp_path / "a.gguf", REFERENCE["ids"])
    np.testing.assert_array_equal(logits.argmax(1), REFERENCE["logits"].argmax(1))
    assert np.abs(logits - REFERENCE["logits"]).max() < 1e-3


def test_logits_with_a_lora_are_those_of_peft(folder: Path, tmp_path: Path) -> None:
    base, lora = tmp_path / "a.gguf", tmp_path / "lora.gguf"
    convert_base(folder, base, quant="f32")
    adapter = read_adapter(SAVED / "adapter_model.safetensors", SAVED / "adapter_config.json")
    convert_lora(adapter, read_gguf_header(base), lora)
    logits = llama.logits(base, REFERENCE["ids"], lora)
    assert np.abs(logits - REFERENCE["adapted"]).max() < 1e-3
    assert np.abs(logits - REFERENCE["logits"]).max() > 0.5


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"laurel_rank": 32}, "laurel_rank is 32, llama.cpp computes 64"),
        ({"final_logit_softcapping": 20.0}, "llama.cpp computes 30"),
        ({"num_kv_shared_layers": 4}, "computes 20 with keys of their own"),
        ({"activation_sparsity_pattern": [0.5] * 22}, "is not 0.95 for 10 layers"),
        ({"layer_types": ["sliding_attention"] * 22}, "layers 18 and 19"),
        ({"intermediate_size": [32] * 21 + [64]}, "intermediate_size is"),
    ],
)
def test_what_the_graph_fixes_is_refused_otherwise(
    changes: dict[str, Any], rule: str, folder: Path, tmp_path: Path
) -> None:
    path = folder / "config.json"
    before = json.loads(path.read_text())
    try:
        change_json(path, **changes)
        with pytest.raises(ConversionError, match=rule):
            convert_base(folder, tmp_path / "a.gguf", quant="f16")
    finally:
        path.write_text(json.dumps(before))

"""Adapters on ready GGUF bases whose architecture the converter does not write."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters import Adapter, read_adapter, read_gguf_header, split_gguf
from hivellm_lite.converters.architectures import architecture_of_gguf
from hivellm_lite.converters.architectures.ready import READY
from hivellm_lite.converters.forms.fitting import find_targets
from hivellm_lite.converters.forms.lora import convert_lora
from hivellm_lite.converters.forms.variant import convert_variant
from hivellm_lite.converters.forms.variant_files import loading_order
from hivellm_lite.converters.forms.weights import gguf_weights

from hivellm_lite import Expert
from hivellm_lite.errors import ConversionError
from hivellm_lite.verification import log_probabilities

from ...support import llama
from ...support.model_files import lora, write_adapter
from ...support.paths import FIXTURES
from ...support.split_models import split_logits

BASES = FIXTURES / "ready"
REFERENCE = np.load(FIXTURES / "ready.npz")
TOKENS = np.load(FIXTURES / "reference.npz")["tiny-qwen2/ids/0"]
NAMES = sorted({name.split("/")[0] for name in REFERENCE.files})


def saved(base: str, form: str) -> Adapter:
    folder = BASES / base / form
    return read_adapter(folder / "adapter_model.safetensors", folder / "adapter_config.json")


GELU = ("tiny-phi", "tiny-starcoder2")
"""Bases whose logits are up to 0.004 off without any adapter: llama.cpp takes GELU from a table of
float16."""


def assert_same(found: np.ndarray, name: str) -> None:
    limit = 0.05 if name.startswith(GELU) else 1e-3
    assert np.abs(REFERENCE[name] - REFERENCE[f"{name.split('/')[0]}/base"]).max() > 1
    assert np.abs(found - REFERENCE[name]).max() < limit
    np.testing.assert_array_equal(found.argmax(1), REFERENCE[name].argmax(1))


@pytest.mark.parametrize("base", NAMES)
def test_a_lora_has_the_logits_of_peft(base: str, tmp_path: Path) -> None:
    file = BASES / f"{base}.gguf"
    convert_lora(saved(base, "lora"), read_gguf_header(file), tmp_path / "adapter.gguf")
    found = llama.logits(file, TOKENS, tmp_path / "adapter.gguf")
    assert_same(found, f"{base}/lora")


@pytest.mark.parametrize("base", NAMES)
def test_a_variant_has_the_logits_of_peft(base: str, tmp_path: Path) -> None:
    file = BASES / f"{base}.gguf"
    (tmp_path / "parts").mkdir()
    (tmp_path / "variant").mkdir()
    names = split_gguf(file, tmp_path / "parts")
    with gguf_weights(file) as source:
        updates = find_targets(saved(base, "dora"), source.header)
        folder = tmp_path / "variant"
        report = convert_variant(updates, source.header, names, source, folder, quantization="f32")
    files = loading_order([tmp_path / "parts" / name for name in names], folder)
    assert_same(split_logits(files, TOKENS, report.n_tensors), f"{base}/dora")


def test_an_expert_answers_on_such_a_base(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    for file in (BASES / "tiny-olmo" / "dora").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    manifest = {"name": "x", "version": "1.0.0", "base_model": {"name": "tiny-olmo"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    exact = {"kv_type": "f32", "flash_attention": False, "n_ctx": 64, "variant_type": "f32"}
    with Expert.load(
        folder, base=BASES / "tiny-olmo.gguf", adapter_mode="exact", cache_dir=tmp_path, **exact
    ) as expert:
        ids = [int(token) for token in TOKENS]
        found = log_probabilities(expert.session, expert.applied(), ids[:1], ids[1:])
    wanted = REFERENCE["tiny-olmo/dora"][:-1].astype(np.float64)
    wanted -= np.log(np.exp(wanted).sum(1, keepdims=True))
    assert np.abs(found - wanted[: len(found)]).max() < 1e-3


@pytest.mark.parametrize(
    "module",
    [
        "model.layers.0.input_layernorm",
        "model.layers.0.mlp.gate",
        "model.layers.0.mlp.experts.1.w1",
    ],
)
def test_other_modules_of_such_a_base_are_refused_by_name(module: str, tmp_path: Path) -> None:
    header = read_gguf_header(BASES / "tiny-olmo.gguf")
    adapter = read_adapter(*write_adapter(tmp_path, lora(module)))
    with pytest.raises(ConversionError, match="is not a module of") as caught:
        find_targets(adapter, header)
    assert "another base" not in str(caught.value)


@pytest.mark.parametrize("name", sorted(READY))
def test_every_listed_architecture_has_attention(name: str) -> None:
    names = set(architecture_of_gguf(name).layer_modules.values())
    assert "attn_output" in names
    assert names & {"attn_q", "attn_qkv"}


def test_an_architecture_of_unknown_order_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConversionError, match=r"'bloom' are not supported(.|\n)*starcoder2"):
        architecture_of_gguf("bloom")

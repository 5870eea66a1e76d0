"""Quantised checkpoints against what the tools that made them read.

`scripts/fixture_quantized.py` recorded it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.base.config import read_model_config
from hivellm_lite.converters.checkpoints.opening import open_checkpoint
from hivellm_lite.converters.forms.fitting import find_targets
from hivellm_lite.converters.forms.variant import convert_variant
from hivellm_lite.converters.forms.variant_files import loading_order
from hivellm_lite.converters.forms.weights import checkpoint_weights
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.gguf.split import split_gguf
from hivellm_lite.converters.safetensors import SafetensorsFile

from hivellm_lite.errors import ConversionError

from ...support import llama
from ...support.model_files import copy_model, framed, safetensors, saved_adapter
from ...support.paths import FIXTURES, MODELS
from ...support.split_models import split_logits

FOLDERS = FIXTURES / "quantized"
ONE_MODULE = sorted(path.name for path in FOLDERS.iterdir() if not path.name.startswith("tiny"))


@pytest.mark.parametrize("name", ONE_MODULE)
def test_weights_are_those_of_the_reference(name: str) -> None:
    expected = np.load(FOLDERS / name / "expected.npz")["weight"]
    with open_checkpoint(FOLDERS / name) as tensors:
        assert list(tensors) == ["m.weight"]
        np.testing.assert_array_equal(tensors["m.weight"].read_float32("m.weight"), expected)
        assert "1 weights were dequantised from" in tensors.notes[0]


@pytest.mark.parametrize("name", ONE_MODULE)
def test_rows_are_read_in_any_pieces(name: str) -> None:
    with open_checkpoint(FOLDERS / name) as tensors:
        tensor = tensors["m.weight"]
        whole = tensor.read_stored("m.weight")
        pieces = [tensor.read_stored("m.weight", i, i + 1) for i in range(len(whole))]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)
        assert tensor.info("m.weight").shape == whole.shape


def quantized_model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(MODELS / "tiny-qwen3", folder)
    for path in (FOLDERS / "tiny-qwen3-nf4").glob("*[!z]"):
        shutil.copy(path, folder)
    return folder


def test_a_quantised_model_answers_as_its_dequantised_weights(tmp_path: Path) -> None:
    expected = np.load(FOLDERS / "tiny-qwen3-nf4" / "expected.npz")
    report = convert_base(quantized_model(tmp_path), tmp_path / "model.gguf", quant="f32")
    logits = llama.logits(tmp_path / "model.gguf", expected["ids"])
    assert np.abs(logits - expected["logits"]).max() < 1e-3
    assert report.notes == ("14 weights were dequantised from nf4",)


def test_a_mix_is_made_from_a_quantised_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "model.gguf"
    assert convert_base(quantized_model(tmp_path), out, quant="q4_k_m").bytes == out.stat().st_size


def test_a_config_that_says_quantised_about_floats_is_noted(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(MODELS / "tiny-qwen3", folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (folder / "config.json").write_text(json.dumps(config))
    report = convert_base(folder, tmp_path / "model.gguf", quant="f16")
    assert report.notes == (
        "the config says bitsandbytes, but the weights are floats: they were read",
    )


def test_the_weights_of_a_quantised_checkpoint_name_their_format(tmp_path: Path) -> None:
    with checkpoint_weights(quantized_model(tmp_path)) as weights:
        assert weights.origin == "weights of model dequantised from nf4"


def damaged(name: str) -> Iterator[dict[str, tuple[str, list[int], bytes]]]:
    """The tensors of a fixture with one of them missing, shorter, of another type, or random."""
    with SafetensorsFile(FOLDERS / name / "model.safetensors") as file:
        tensors = {
            key: (info.dtype, list(info.shape), file.read_stored(key).tobytes())
            for key, info in file.tensors.items()
        }
    noise = np.random.default_rng(0)
    for key, (dtype, shape, data) in tensors.items():
        yield {other: kept for other, kept in tensors.items() if other != key}
        if shape and shape[0] > 1:
            size = len(data) // shape[0]
            yield {**tensors, key: (dtype, [shape[0] - 1, *shape[1:]], data[:-size])}
        yield {**tensors, key: ("F32", [len(data) // 4], data[: len(data) // 4 * 4])}
        yield {**tensors, key: (dtype, [1, *shape], data)}
        yield {**tensors, key: (dtype, shape, noise.bytes(len(data)))}
        yield {**tensors, key: (dtype, shape, b"\xff" * len(data))}


@pytest.mark.parametrize("name", ONE_MODULE)
def test_a_damaged_checkpoint_is_refused_or_read_as_it_stands(name: str, tmp_path: Path) -> None:
    shutil.copy(FOLDERS / name / "config.json", tmp_path)
    refused = 0
    for tensors in damaged(name):
        header, data = {}, b""
        for key, (dtype, shape, raw) in tensors.items():
            offsets = [len(data), len(data) + len(raw)]
            header[key] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
            data += raw
        (tmp_path / "model.safetensors").write_bytes(framed(json.dumps(header).encode(), data))
        try:
            with open_checkpoint(tmp_path) as found:
                for key, tensor in found.items():
                    assert tensor.read_stored(key).shape == tensor.info(key).shape
        except ConversionError:
            refused += 1
    assert refused >= 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quant_method": "aqlm"}, r"quantised \(aqlm\), which cannot be read"),
        ({"bits": 4}, "an unnamed method"),
        ({"quant_method": "awq", "version": "gemv"}, "packing 'gemv' is not read"),
        ({"quant_method": "awq", "backend": "llm-awq"}, "packing 'llm-awq' is not read"),
        ({"quant_method": "auto-round", "packing_format": "x"}, "AutoRound's packing 'x' is not"),
        ({"quant_method": "gptq", "checkpoint_format": "marlin"}, "packing 'marlin' is not read"),
        ({"quant_method": "compressed-tensors", "format": "marlin-24"}, "'marlin-24' of"),
        (
            {"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-bitmask"}},
            "sparse packing",
        ),
        ({"quant_method": "compressed-tensors", "format": []}, r"the packing '\[\]' of"),
        ({"quant_method": ["x"]}, "an unnamed method"),
        ([1], "is not an object"),
    ],
)
def test_other_methods_and_packings_are_refused_by_name(
    options: object, words: str, tmp_path: Path
) -> None:
    folder = copy_model("tiny-qwen3", tmp_path, quantization_config=options)
    with pytest.raises(ConversionError, match=words):
        read_model_config(folder)


def test_packed_words_without_a_method_are_refused(tmp_path: Path) -> None:
    shutil.copy(FOLDERS / "awq" / "model.safetensors", tmp_path)
    with (
        pytest.raises(ConversionError, match="no quant_method 'gptq' or 'awq'"),
        open_checkpoint(tmp_path),
    ):
        pass


@pytest.mark.parametrize(("name", "packing"), [("gptq-4", "auto_gptq"), ("awq", "auto_awq")])
def test_autoround_writes_the_packings_of_others(name: str, packing: str, tmp_path: Path) -> None:
    shutil.copy(FOLDERS / name / "model.safetensors", tmp_path)
    options = {"quant_method": "auto-round", "packing_format": f"auto_round:{packing}", "bits": 4}
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": options}))
    expected = np.load(FOLDERS / name / "expected.npz")["weight"]
    with open_checkpoint(tmp_path) as tensors:
        np.testing.assert_array_equal(tensors["m.weight"].read_float32("m.weight"), expected)


def test_settings_of_older_files_are_read(tmp_path: Path) -> None:
    shutil.copy(FOLDERS / "gptq-4" / "model.safetensors", tmp_path)
    (tmp_path / "quantize_config.json").write_text('{"bits": 4, "group_size": 32}')
    with open_checkpoint(tmp_path) as tensors:
        assert tensors.quantization == "GPTQ (4 bits)"


def test_a_dora_adapter_is_merged_with_the_dequantised_weights(tmp_path: Path) -> None:
    expected = np.load(FOLDERS / "tiny-qwen3-nf4" / "expected.npz")
    folder, place = quantized_model(tmp_path), tmp_path / "variant"
    place.mkdir()
    convert_base(folder, tmp_path / "base.gguf", quant="f32")
    parts = [tmp_path / name for name in split_gguf(tmp_path / "base.gguf", tmp_path)]
    header = read_gguf_header(tmp_path / "base.gguf")
    updates = find_targets(saved_adapter("tiny-qwen3", "dora"), header)
    with checkpoint_weights(folder) as weights:
        report = convert_variant(
            updates, header, [part.name for part in parts], weights, place, quantization="f32"
        )
    assert report.source == "weights of model dequantised from nf4"
    logits = split_logits(loading_order(parts, place), expected["ids"], report.n_tensors)
    assert np.abs(logits - expected["dora"]).max() < 1e-3
    assert np.abs(logits - expected["logits"]).max() > 0.5


def test_a_bias_of_zeros_that_a_quantiser_added_is_left_out(tmp_path: Path) -> None:
    folder = copy_model("tiny-llama", tmp_path)
    path = folder / "model.safetensors"
    with SafetensorsFile(path) as file:
        tensors = {name: file.read_float32(name) for name in file.tensors}
    bias = "model.layers.0.self_attn.q_proj.bias"
    for values, refused in ((np.zeros(64, np.float32), False), (np.ones(64, np.float32), True)):
        path.write_bytes(safetensors({**tensors, bias: values}))
        with pytest.raises(ConversionError, match="has no place") if refused else nullcontext():
            convert_base(folder, tmp_path / "model.gguf", quant="f16")

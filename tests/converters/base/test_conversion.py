"""Our conversion against llama.cpp's own, tensor by tensor, and against PyTorch's logits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hivellm_lite.converters.base import conversion, convert_base, estimate_size
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.safetensors import SafetensorsFile

from hivellm_lite.errors import ConversionError

from ...fixtures.record_llama_cpp_digests import describe
from ...support import llama
from ...support.model_files import change_json, copy_model, framed, safetensors
from ...support.paths import FIXTURES, MODELS

REFERENCE = np.load(FIXTURES / "reference.npz")
DIGESTS = json.loads((FIXTURES / "llama_cpp_digests.json").read_text())
NAMES = sorted(path.name for path in MODELS.iterdir())
TOLERANCE = 1e-3

OF_PAIRS = {"tokenizer.ggml.add_sep_token"}
"""Written by llama.cpp's converter about pairs of texts, which generation never has."""

OURS_ALONE = {"gemma.rope.freq_base", "gemma2.rope.freq_base"}
"""llama.cpp's converter forgets it, and llama.cpp then takes 10,000."""

THEIRS_ALONE = {
    *(f"granite.ssm.{name}_size" for name in ("inner", "state")),
    "granite.ssm.conv_kernel",
    "granite.ssm.group_count",
    "granite.ssm.time_step_rank",
    "granite.expert_count",
    "granite.expert_used_count",
    "granite.expert_shared_feed_forward_length",
    "granitehybrid.context_length",
    "granitehybrid.expert_count",
    "granitehybrid.expert_used_count",
    "granitehybrid.expert_shared_feed_forward_length",
    "hunyuan-dense.rope.scaling.factor",
    "hunyuan-dense.rope.scaling.original_context_length",
    "hunyuan-dense.rope.scaling.type",
}
"""Zeros, defaults, and the mixers of a model without mixers; and a context length that the config
of a hybrid model does not give."""

VOCABULARY = {
    f"tokenizer.ggml.{name}"
    for name in ("model", "pre", "merges", "scores", "tokens", "token_type")
}
"""Of Gemma 4, llama.cpp's converter writes merges, and we the scores that they stand for, as for
Gemma 3. `test_vocabulary.py` compares the tokens."""

FOR_OUR_RUNTIME = ".hivellm."
"""What llama.cpp has no key for; it reads none that it does not know."""


@pytest.mark.parametrize("case", sorted(DIGESTS))
def test_tensors_and_metadata_are_those_of_llama_cpp_s_converter(case: str, tmp_path: Path) -> None:
    name, quant = case.split("/")
    out = tmp_path / "model.gguf"
    convert_base(MODELS / name, out, quant=quant)
    found, expected = describe(out), DIGESTS[case]
    inexact = INEXACT | (PRODUCTS if name == "tiny-falcon-h1" else set())
    assert alike(found["tensors"], inexact) == alike(expected["tensors"], inexact)
    theirs = {k: v for k, v in expected["metadata"].items() if k not in OF_PAIRS | THEIRS_ALONE}
    if (heads := theirs.get("granite.attention.head_count_kv")) == [2, 2]:
        theirs["granite.attention.head_count_kv"] = heads[0]
    ours = {
        key: v
        for key, v in found["metadata"].items()
        if key not in OURS_ALONE | THEIRS_ALONE and FOR_OUR_RUNTIME not in key
    }
    if name == "tiny-gemma":
        del theirs["tokenizer.ggml.eot_token_id"]  # a number that is written for every model
    if name == "tiny-gemma4":
        ours, theirs = ({k: v for k, v in m.items() if k not in VOCABULARY} for m in (ours, theirs))
    assert ours == theirs


INEXACT = {"ssm_a"}
"""Exponentials, whose last bits are the library's choice."""

PRODUCTS = {"attn_k", "ssm_in"}
"""Weights that llama.cpp's converter multiplies by two numbers one after the other."""


def alike(tensors: Mapping[str, Any], inexact: set[str]) -> Mapping[str, Any]:
    """Without the digests of tensors with these names."""
    return {
        name: t[:2] if name.split(".")[2:3] and name.split(".")[2] in inexact else t
        for name, t in tensors.items()
    }


def test_every_model_was_converted_by_llama_cpp_too() -> None:
    # llama.cpp's converter writes only the vision part of this class.
    assert {case.split("/")[0] for case in DIGESTS} == set(NAMES) - {"tiny-smolvlm"}


@pytest.mark.unmeasured
@pytest.mark.parametrize("prompt", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_pytorch(name: str, prompt: int, tmp_path: Path) -> None:
    out = tmp_path / "model.gguf"
    convert_base(MODELS / name, out, quant="f32")
    logits = llama.logits(out, REFERENCE[f"{name}/ids/{prompt}"])
    expected = REFERENCE[f"{name}/logits/{prompt}"]
    np.testing.assert_array_equal(logits.argmax(1), expected.argmax(1))
    assert np.abs(logits - expected).max() < TOLERANCE


def test_gemma_s_older_keys_give_the_same_file(tmp_path: Path) -> None:
    """As Transformers 4 wrote them."""
    older = {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_parameters": None}
    older |= {"sliding_window_pattern": 6, "layer_types": None, "tie_word_embeddings": None}
    folder = copy_model("tiny-gemma3", tmp_path, **older)
    convert_base(folder, tmp_path / "a", quant="f16")
    convert_base(MODELS / "tiny-gemma3", tmp_path / "b", quant="f16")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_phi_s_older_keys_give_the_same_file(tmp_path: Path) -> None:
    folder = copy_model("tiny-phi4", tmp_path)
    rope = json.loads((folder / "config.json").read_text())["rope_parameters"]
    factors = {f"{name}_factor": rope[f"{name}_factor"] for name in ("short", "long")}
    change_json(
        folder / "config.json",
        rope_parameters=None,
        rope_scaling={"type": "su", **factors},
        partial_rotary_factor=0.75,
    )
    convert_base(folder, tmp_path / "a", quant="f16")
    convert_base(MODELS / "tiny-phi4", tmp_path / "b", quant="f16")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_and_threads_do_not_change_the_bytes(
    threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert_base(MODELS / "tiny-llama", tmp_path / "a", quant="q8_0")
    monkeypatch.setattr(conversion, "BLOCK_ELEMENTS", 100)
    convert_base(MODELS / "tiny-llama", tmp_path / "b", quant="q8_0", threads=threads)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_progress_counts_up_to_all_the_data(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    out = tmp_path / "model.gguf"
    report = convert_base(
        MODELS / "tiny-llama", out, quant="f16", progress=lambda *call: calls.append(call)
    )
    done, totals = zip(*calls, strict=True)
    assert list(done) == sorted(done)
    assert set(totals) == {done[-1]}
    assert done[-1] < out.stat().st_size == report.bytes


@pytest.mark.parametrize("quant", ["f32", "q8_0"])
@pytest.mark.parametrize("name", ["tiny-llama", "tiny-llama3", "tiny-qwen3"])
def test_the_estimate_is_close(name: str, quant: str, tmp_path: Path) -> None:
    out = tmp_path / "model.gguf"
    size = convert_base(MODELS / name, out, quant=quant).bytes
    assert abs(estimate_size(MODELS / name, quant) - size) < 30_000


def test_the_report_says_where_the_file_differs_from_transformers(tmp_path: Path) -> None:
    folder = copy_model(
        "tiny-llama", tmp_path, architectures=["MistralForCausalLM"], sliding_window=128
    )
    report = convert_base(folder, tmp_path / "model.gguf", quant="f16")
    assert "window of 128 tokens is not applied" in report.notes[0]
    assert (report.architecture, report.quant, report.tensors) == ("llama", "f16", 21)
    assert "path" not in report.as_dict()


def rewrite(folder: Path, changes: Mapping[str, Any]) -> None:
    """Store the checkpoint as F32 with some tensors replaced or added; None removes one."""
    path = folder / "model.safetensors"
    with SafetensorsFile(path) as file:
        tensors: dict[str, Any] = {name: file.read_float32(name) for name in file.tensors}
    tensors |= changes
    path.write_bytes(
        safetensors({n: values for n, values in tensors.items() if values is not None})
    )


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"model.layers.1.mlp.up_proj.weight": None}, r"'model\.layers\.1.* is missing"),
        ({"lm_head.weight": None}, r"lm_head\.weight' is missing and tie_word_embeddings"),
        ({"model.norm.weight": np.ones(63, np.float32)}, r"shape \[63\], config.json asks"),
        ({"model.norm.weight": np.ones(64, np.int32)}, "is I32, expected floats"),
        ({"visual.weight": np.ones(1, np.float32)}, "'visual.weight' has no place in llama"),
        (
            {"model.layers.0.mlp.up_proj.weight": np.full((80, 64), np.nan, np.float32)},
            "up_proj.weight' has NaN or infinity",
        ),
        (
            {"model.layers.0.mlp.up_proj.bias": np.ones(80, np.float32)},
            "up_proj.bias' has no place in llama",
        ),
        (
            {"lm_head.weight": np.full((500, 64), 1e6, np.float32)},
            "exceeds the range of float16\nConvert to bf16 or f32",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_its_config_is_refused(
    changes: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    folder = copy_model("tiny-llama", tmp_path)
    rewrite(folder, changes)
    with pytest.raises(ConversionError, match=rule):
        convert_base(folder, tmp_path / "model.gguf", quant="f16")


def test_a_bias_that_the_config_promises_must_be_there(tmp_path: Path) -> None:
    folder = copy_model("tiny-llama", tmp_path, mlp_bias=True)
    with pytest.raises(ConversionError, match=r"gate_proj\.bias' is missing"):
        convert_base(folder, tmp_path / "model.gguf", quant="f16")


def test_constants_of_old_checkpoints_are_skipped(tmp_path: Path) -> None:
    folder = copy_model("tiny-llama", tmp_path)
    rewrite(folder, {"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(8, np.float32)})
    assert convert_base(folder, tmp_path / "model.gguf", quant="f16").tensors == 21


def test_an_f32_checkpoint_gives_the_same_file(tmp_path: Path) -> None:
    folder = copy_model("tiny-llama", tmp_path)
    rewrite(folder, {})
    for source, name in ((MODELS / "tiny-llama", "a"), (folder, "b")):
        convert_base(source, tmp_path / name, quant="bf16")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_damaged_shard_is_refused(tmp_path: Path) -> None:
    folder = copy_model("tiny-llama3", tmp_path)
    (folder / "model-00002-of-00003.safetensors").write_bytes(framed(b"{}"))
    with pytest.raises(ConversionError, match=r"tensor 'model.*' is missing"):
        convert_base(folder, tmp_path / "model.gguf", quant="f16")


def test_a_qwen_checkpoint_with_biases_is_refused(tmp_path: Path) -> None:
    folder = copy_model("tiny-qwen3", tmp_path, attention_bias=True)
    with pytest.raises(ConversionError, match="attention_bias is not supported for qwen3"):
        convert_base(folder, tmp_path / "model.gguf", quant="f16")


def test_a_write_error_is_left_to_the_caller(tmp_path: Path) -> None:
    """The cache explains full disks and missing folders."""
    with pytest.raises(OSError, match="gone"):
        convert_base(MODELS / "tiny-llama", tmp_path / "gone" / "model.gguf", quant="f16")


def test_a_forced_pre_tokenizer_is_written(tmp_path: Path) -> None:
    folder = copy_model("tiny-llama", tmp_path)
    change_json(folder / "tokenizer.json", pre_tokenizer={"type": "Whitespace"})
    with pytest.raises(ConversionError, match=r"pre_tokenizer=NAME \(--pre-tokenizer NAME\)"):
        convert_base(folder, tmp_path / "model.gguf", quant="f16")
    convert_base(folder, tmp_path / "model.gguf", quant="f16", pre_tokenizer="smollm")
    metadata = read_gguf_header(tmp_path / "model.gguf").metadata
    assert metadata["tokenizer.ggml.pre"] == "smollm"

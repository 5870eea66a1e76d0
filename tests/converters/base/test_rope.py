"""Scaled rotary positions give the logits of PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.base.rope import Rope, llama3_factors

from ...support import llama
from ...support.model_files import copy_model
from ...support.paths import FIXTURES

REFERENCE = np.load(FIXTURES / "reference.npz")


TOLERANCE = 1e-3


@pytest.mark.parametrize("style", ["rope_parameters", "rope_scaling"])
def test_linear_rope_scaling_is_applied(style: str, tmp_path: Path) -> None:
    rope: dict[str, Any] = {"rope_parameters": None, "rope_theta": 5000.0}
    if style == "rope_parameters":
        rope[style] = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5000.0}
        rope["rope_theta"] = None
    else:
        rope[style] = {"type": "linear", "factor": 2.0}
    folder = copy_model("tiny-llama", tmp_path, **rope)
    out = tmp_path / "model.gguf"
    convert_base(folder, out, quant="f32")
    logits, expected = (
        llama.logits(out, REFERENCE["tiny-llama/ids/0"]),
        REFERENCE["tiny-llama/linear"],
    )
    assert np.abs(expected - REFERENCE["tiny-llama/logits/0"]).max() > 1
    assert np.abs(logits - expected).max() < TOLERANCE


YARN = {
    "rope_type": "yarn",
    "rope_theta": 5000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
}


@pytest.mark.parametrize("name", ["tiny-llama", "tiny-qwen3"])
def test_yarn_is_applied(name: str, tmp_path: Path) -> None:
    folder = copy_model(name, tmp_path, rope_parameters=YARN)
    out = tmp_path / "model.gguf"
    convert_base(folder, out, quant="f32")
    expected = REFERENCE[f"{name}/yarn"]
    assert np.abs(expected - REFERENCE[f"{name}/logits/0"]).max() > 1
    assert np.abs(llama.logits(out, REFERENCE[f"{name}/ids/0"]) - expected).max() < TOLERANCE


def test_linear_scaling_of_gemma_s_full_layers_is_applied(tmp_path: Path) -> None:
    rope = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    folder = copy_model("tiny-gemma3", tmp_path, rope_parameters=rope)
    out = tmp_path / "model.gguf"
    convert_base(folder, out, quant="f32")
    expected = REFERENCE["tiny-gemma3/linear"]
    assert np.abs(expected - REFERENCE["tiny-gemma3/logits/0"]).max() > 0.1
    logits = llama.logits(out, REFERENCE["tiny-gemma3/ids/0"])
    assert np.abs(logits - expected).max() < TOLERANCE


def test_llama3_factors_are_those_of_pytorch() -> None:
    """Llama 3.1 8B's own numbers; expected values from llama.cpp's converter."""
    rope = Rope(
        "llama3",
        500_000.0,
        {
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192.0,
        },
    )
    factors = llama3_factors(rope, 128)
    assert factors.dtype == np.float32
    assert factors.shape == (64,)
    np.testing.assert_array_equal(factors[:29], 1)
    np.testing.assert_array_equal(factors[35:], 8)
    blended = [1.2074839, 1.5534146, 2.026313, 2.69453, 3.6842532, 5.257327]
    np.testing.assert_array_equal(factors[29:35], np.array(blended, np.float32))

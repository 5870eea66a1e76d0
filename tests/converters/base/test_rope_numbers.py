"""Numbers in ``config.json`` that RoPE's formulas cannot take: an error, never an exception."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hivellm_lite.converters.base.config import read_model_config
from hivellm_lite.converters.base.plan import plan_tensors
from hivellm_lite.converters.base.rope import rope_metadata, rope_tensors
from hivellm_lite.converters.checkpoints.opening import open_checkpoint

from hivellm_lite.errors import ConversionError

from ...support.model_files import copy_model

ODD = [0, -1, 1, 2, 0.5, 1e-300, 1e-14, 1e11, 1e300, 10**400, float("nan"), float("inf"), True, "8"]
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {
    "rope_type": "yarn",
    "factor": 4.0,
    "original_max_position_embeddings": 64,
    "beta_fast": 32,
    "beta_slow": 1,
}
LINEAR = {"rope_type": "linear", "factor": 4.0}
LONG = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 8,
    "long_factor": [2.0] * 8,
    "original_max_position_embeddings": 64,
    "attention_factor": 1.0,
}
CASES = [
    (name, scaling, key)
    for name, scaling in (
        ("tiny-llama", LLAMA3),
        ("tiny-qwen3", YARN),
        ("tiny-llama", LINEAR),
        ("tiny-phi4", LONG),
    )
    for key in [*scaling, "rope_theta"]
    if key != "rope_type"
]


def converted(folder: Path) -> None:
    """All of a conversion that computes with the numbers; what it gives is finite."""
    config = read_model_config(folder)
    with open_checkpoint(folder) as checkpoint:
        plan_tensors(config, checkpoint, "f32")
    for value in rope_metadata(config.rope).values():
        assert isinstance(value, str) or np.isfinite(np.float32(value))
    for tensor in rope_tensors(config.rope, config.sizes["rotary"]).values():
        assert np.isfinite(tensor).all()
        assert (tensor > 0).all()


@pytest.mark.parametrize(("name", "scaling", "key"), CASES)
def test_odd_numbers_are_refused_or_stay_finite(
    name: str, scaling: dict[str, Any], key: str, tmp_path: Path
) -> None:
    folder = copy_model(name, tmp_path)
    path = folder / "config.json"
    whole = json.loads(path.read_text())
    for value in [*ODD, [0.0] * 8, [1e-300] * 8, None]:
        rope = {"rope_theta": 1e4, **scaling, key: value}
        path.write_text(json.dumps({**whole, "rope_parameters": rope}))
        try:
            converted(folder)
        except ConversionError:
            continue


@pytest.mark.parametrize("original", [1, 2, 3])
def test_longrope_is_not_extended_from_a_single_position(original: int, tmp_path: Path) -> None:
    rope = {**LONG, "attention_factor": None, "original_max_position_embeddings": original}
    folder = copy_model("tiny-phi4", tmp_path, rope_parameters=rope)
    if original == 1:
        with pytest.raises(ConversionError, match="is 1, expected 2 or more"):
            read_model_config(folder)
    else:
        converted(folder)


def test_two_odd_numbers_of_llama3_together_are_refused_or_stay_finite(tmp_path: Path) -> None:
    folder = copy_model("tiny-llama", tmp_path)
    path = folder / "config.json"
    whole = json.loads(path.read_text())
    tried = 0
    for first, second in itertools.combinations([*LLAMA3, "rope_theta"], 2):
        if "rope_type" in (first, second):
            continue
        for one, other in itertools.product([1e-15, 1e-9, 1.0, 1e9, 9e11], repeat=2):
            rope = {"rope_theta": 1e4, **LLAMA3, first: one, second: other}
            path.write_text(json.dumps({**whole, "rope_parameters": rope}))
            try:
                converted(folder)
                tried += 1
            except ConversionError:
                continue
    assert tried

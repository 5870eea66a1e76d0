"""Soft prompts: read from the files of strangers, written for llama.cpp."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.soft_prompts import (
    convert_soft_prompt,
    load_soft_prompt,
    read_soft_prompt,
    write_soft_prompt,
)

from hivellm_lite.errors import ConversionError

from ..support.packages import safetensors_bytes
from ..support.paths import FIXTURES

PLACE = FIXTURES / "soft_prompts"
ROWS = np.load(PLACE / "reference.npz")["rows"]


def saved(tmp_path: Path, **tensors: np.ndarray[Any, Any]) -> Path:
    path = tmp_path / "rows.safetensors"
    path.write_bytes(safetensors_bytes(tensors))
    return path


def peft(
    tmp_path: Path, name: str = "tiny-llama/prompt-tuning", **changes: Any
) -> tuple[Path, Path]:
    """Weights and config of a soft prompt of the fixtures; None removes a key of the config."""
    folder = tmp_path / "adapter"
    shutil.copytree(PLACE / name, folder)
    config = folder / "adapter_config.json"
    options = {**json.loads(config.read_text()), **changes}
    config.write_text(json.dumps({k: v for k, v in options.items() if v is not None}))
    return folder / "adapter_model.safetensors", config


class TestPeft:
    def test_the_rows_are_those_of_the_file(self, tmp_path: Path) -> None:
        assert read_soft_prompt(*peft(tmp_path)).shape == (5, 64)

    def test_configs_that_say_little_are_enough(self, tmp_path: Path) -> None:
        bare = {"num_transformer_submodules": None, "task_type": None, "inference_mode": None}
        assert read_soft_prompt(*peft(tmp_path, **bare)).shape == (5, 64)

    @pytest.mark.parametrize(
        ("changes", "why"),
        [
            ({"num_virtual_tokens": 6}, "num_virtual_tokens=6"),
            ({"num_virtual_tokens": None}, "num_virtual_tokens is None"),
            ({"num_virtual_tokens": True}, "num_virtual_tokens is True"),
            ({"num_virtual_tokens": -1}, "num_virtual_tokens is -1"),
            ({"token_dim": 32}, "token_dim=32"),
            ({"token_dim": 64.0}, "token_dim is 64.0"),
            ({"num_transformer_submodules": 2}, "an encoder and a decoder"),
            ({"task_type": "SEQ_2_SEQ_LM"}, "expected CAUSAL_LM"),
            ({"modules_to_save": ["lm_head"]}, "modules_to_save beside a soft prompt"),
            (
                {"peft_type": "PREFIX_TUNING"},
                r"prefix tuning is not a soft prompt\nIt trains keys and values",
            ),
            ({"peft_type": "CARTRIDGE"}, "Cartridge"),
            ({"peft_type": "ADAPTION_PROMPT"}, "LLaMA-Adapter"),
            ({"peft_type": "LORA"}, "LORA is not a soft prompt"),
        ],
    )
    def test_configs_that_mean_something_else_are_refused(
        self, changes: dict[str, Any], why: str, tmp_path: Path
    ) -> None:
        with pytest.raises(ConversionError, match=why):
            read_soft_prompt(*peft(tmp_path, **changes))

    def test_other_tensors_are_refused(self, tmp_path: Path) -> None:
        weights, config = peft(tmp_path)
        rows = np.zeros((5, 64), "f4")
        for tensors in ({"prompt_embeddings": rows, "x": rows}, {"x": rows}):
            weights.write_bytes(safetensors_bytes(tensors))
            with pytest.raises(ConversionError, match="a soft prompt is one 'prompt_embeddings'"):
                read_soft_prompt(weights, config)


class TestFiles:
    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    def test_a_matrix_in_safetensors_is_read(self, dtype: str, tmp_path: Path) -> None:
        rows = ROWS.astype(dtype)
        path = saved(tmp_path, soft=rows, step=np.ones(1, "i4"))
        assert np.array_equal(read_soft_prompt(path), rows.astype("f4"))

    def test_a_file_of_torch_is_read(self) -> None:
        assert np.array_equal(read_soft_prompt(PLACE / "torch" / "parameter.pt"), ROWS)

    @pytest.mark.parametrize(
        ("tensors", "why"),
        [
            ({}, "holds no matrices"),
            ({"a": np.ones((2, 2), "f4"), "b": np.ones((2, 2), "f4")}, "holds 2 matrices"),
            ({"a": np.ones((1, 2, 2), "f4")}, "holds no matrices"),
            ({"a": np.ones((2, 2), "i4")}, "is I32"),
            ({"a": np.ones((0, 2), "f4")}, "0 virtual tokens"),
            ({"a": np.ones((2, 0), "f4")}, "of 0 numbers"),
            ({"a": np.ones((2049, 1), "f4")}, "2049 virtual tokens"),
            ({"a": np.ones((2000, 8389), "f2")}, "16777216 numbers are allowed"),
            ({"a": np.full((1, 2), np.nan, "f4")}, "NaN"),
            ({"a": np.full((1, 2), np.inf, "f4")}, "infinite"),
        ],
    )
    def test_what_is_no_soft_prompt_is_refused(
        self, tensors: dict[str, Any], why: str, tmp_path: Path
    ) -> None:
        with pytest.raises(ConversionError, match=why):
            read_soft_prompt(saved(tmp_path, **tensors))


class TestConversion:
    @pytest.fixture
    def base(self, request: pytest.FixtureRequest, tmp_path: Path) -> Path:
        path = tmp_path / "base.gguf"
        convert_base(FIXTURES / "models" / request.param, path, quant="f32")
        return path

    @pytest.mark.parametrize(
        ("base", "factor"),
        [("tiny-llama", 1.0), ("tiny-gemma3", 1.0), ("tiny-gemma2", 0.125)],
        indirect=["base"],
    )
    def test_rows_are_divided_where_llama_cpp_scales_them(self, base: Path, factor: float) -> None:
        found = convert_soft_prompt(ROWS, read_gguf_header(base), Path("x"))
        assert found.dtype == np.float32
        assert np.array_equal(found, ROWS * np.float32(factor))

    @pytest.mark.parametrize("base", ["tiny-llama"], indirect=True)
    def test_another_width_is_another_base(self, base: Path) -> None:
        with pytest.raises(ConversionError, match=r"rows of 32 numbers.* trained for another base"):
            convert_soft_prompt(ROWS[:, :32], read_gguf_header(base), Path("x"))


class TestStorage:
    def test_what_is_written_is_read_again(self, tmp_path: Path) -> None:
        path = tmp_path / "prompt.safetensors"
        write_soft_prompt(ROWS.T, path)
        assert np.array_equal(load_soft_prompt(path).embeddings, ROWS.T)

    def test_the_digest_is_of_values_and_shape(self, tmp_path: Path) -> None:
        digests = set()
        for rows in (ROWS, ROWS + 1, ROWS.reshape(14, 32), ROWS):
            write_soft_prompt(rows, tmp_path / "x.safetensors")
            digests.add(load_soft_prompt(tmp_path / "x.safetensors").digest)
        assert len(digests) == 3

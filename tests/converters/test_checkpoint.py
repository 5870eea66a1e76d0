from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters.checkpoint import open_checkpoint

from hivellm_lite.errors import ConversionError

from ..support.model_files import safetensors
from ..support.paths import MODELS

ONE = np.ones(1, np.float32)


def write_shards(folder: Path, weight_map: object) -> None:
    (folder / "one.safetensors").write_bytes(safetensors({"a": ONE}))
    (folder / "two.safetensors").write_bytes(safetensors({"b": ONE, "c": ONE}))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))


def test_shards_read_as_one_mapping() -> None:
    with open_checkpoint(MODELS / "tiny-llama3") as tensors:
        assert len({file.path for file in tensors.values()}) == 3
        assert tensors["model.norm.weight"].read("model.norm.weight").shape == (64,)


def test_files_are_closed_on_exit(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors({"a": ONE}))
    with open_checkpoint(tmp_path) as tensors:
        file = tensors["a"]
    with pytest.raises(ValueError, match="closed"):
        file.read("a")


@pytest.mark.parametrize(
    "shard", ["../one.safetensors", "/etc/passwd", "x/one", "C:one", "..\\one", "", ".hidden", 5]
)
def test_an_index_cannot_leave_the_folder(shard: object, tmp_path: Path) -> None:
    write_shards(tmp_path, {"a": shard})
    with pytest.raises(ConversionError, match="not a file name"), open_checkpoint(tmp_path):
        pass


@pytest.mark.parametrize(
    ("weight_map", "rule"),
    [
        ([], "not an object"),
        ({"a": "two.safetensors", "b": "two.safetensors"}, "does not hold tensor 'a'"),
        ({"a": "one.safetensors", "b": "two.safetensors"}, "'c' of two.safetensors is not in"),
        ({"a": "gone.safetensors"}, "cannot open"),
    ],
)
def test_an_index_that_lies_is_refused(weight_map: object, rule: str, tmp_path: Path) -> None:
    write_shards(tmp_path, weight_map)
    with pytest.raises(ConversionError, match=rule), open_checkpoint(tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map"', "\xff"])
def test_an_unreadable_index_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(text, "latin-1")
    with (
        pytest.raises(ConversionError, match=r"cannot read|not a JSON object|not an object"),
        open_checkpoint(tmp_path),
    ):
        pass


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with (
        pytest.raises(ConversionError, match=r"neither model\.safetensors"),
        open_checkpoint(tmp_path),
    ):
        pass

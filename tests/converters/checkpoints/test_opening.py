from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters.checkpoints.opening import open_checkpoint

from hivellm_lite.errors import ConversionError

from ...support.model_files import safetensors
from ...support.paths import MODELS

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
        ({}, "is empty"),
        ({"a": "gone.safetensors"}, "names 'gone.safetensors', which is not in the folder"),
    ],
)
def test_an_index_that_lies_is_refused(weight_map: object, rule: str, tmp_path: Path) -> None:
    write_shards(tmp_path, weight_map)
    with pytest.raises(ConversionError, match=rule), open_checkpoint(tmp_path):
        pass


def test_what_the_files_hold_counts_where_the_index_is_out_of_date(tmp_path: Path) -> None:
    write_shards(
        tmp_path, {"a": "two.safetensors", "b": "one.safetensors", "gone": "one.safetensors"}
    )
    with open_checkpoint(tmp_path) as tensors:
        assert {name: file.path.name for name, file in tensors.items()} == {
            "a": "one.safetensors",
            "b": "two.safetensors",
            "c": "two.safetensors",
        }
        (note,) = tensors.notes
    assert "lists 1 tensors that its files do not hold and does not list 1 tensors" in note


def test_an_index_beside_model_safetensors_is_left_over(tmp_path: Path) -> None:
    write_shards(tmp_path, {"a": "gone.safetensors"})
    (tmp_path / "model.safetensors").write_bytes(safetensors({"x": ONE}))
    with open_checkpoint(tmp_path) as tensors:
        assert list(tensors) == ["x"]


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, {"a": "one.safetensors", "b": "two.safetensors"})
    (tmp_path / "two.safetensors").write_bytes(safetensors({"a": ONE}))
    with (
        pytest.raises(ConversionError, match=r"'a' is in one\.safetensors and in two\.safetensors"),
        open_checkpoint(tmp_path),
    ):
        pass


def test_a_whole_set_of_shards_needs_no_index(tmp_path: Path) -> None:
    for number, name in enumerate("ab", start=1):
        shard = tmp_path / f"model-0000{number}-of-00002.safetensors"
        shard.write_bytes(safetensors({name: ONE}))
    with open_checkpoint(tmp_path) as tensors:
        assert sorted(tensors) == ["a", "b"]
    (tmp_path / "model-00001-of-00002.safetensors").unlink()
    with (
        pytest.raises(ConversionError, match=r"1 of 2 shards and no .*\nMissing: 1\."),
        open_checkpoint(tmp_path),
    ):
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


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ConversionError, match=r"cannot read .*gone"),
        open_checkpoint(tmp_path / "gone"),
    ):
        pass

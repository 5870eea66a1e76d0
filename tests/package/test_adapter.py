"""Where packagers put the adapter, and what is said when it is nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from hivellm_lite.cache import Cache
from hivellm_lite.package import open_package

from ..support.manifests import v2_adapter
from ..support.packages import (
    expert_files,
    manifest_bytes,
    manifest_v1,
    manifest_v2,
    write_package,
)
from ..support.refusals import failure

WEIGHTS = "adapter_model.safetensors"


class TestAdapterPlaces:
    @pytest.mark.parametrize(
        ("named", "folder"),
        [
            ("weights/tiny/adapter", "weights/tiny/adapter/"),
            ("weights\\tiny\\adapter\\", "weights/tiny/adapter/"),
            ("./tiny/", "tiny/"),
            ("tiny/adapter", "weights/tiny/adapter/"),
            ("qwen3/final", ""),
            (None, ""),
            (None, "weights/adapter/"),
            (None, "adapter/"),
            (None, "somewhere/else/"),
            ("D:/train/out/adapter", ""),
            ("/home/me/adapter", "adapter/"),
            ("../outside", "x/"),
        ],
    )
    def test_the_adapter_is_found_where_packagers_put_it(
        self, place: Path, cache: Cache, named: str | None, folder: str
    ) -> None:
        manifest = v2_adapter(path=named)
        package = open_package(
            write_package(place, expert_files(manifest, adapter=folder)), cache=cache
        )
        assert package.adapter.weights == package.root / folder / WEIGHTS
        assert package.adapter.config == package.root / folder / "adapter_config.json"

    def test_the_named_place_comes_before_all_others(self, place: Path, cache: Cache) -> None:
        manifest = manifest_v1(adapters=[{"path": "b"}])
        files = {**expert_files(manifest), f"b/{WEIGHTS}": b"b", f"weights/b/{WEIGHTS}": b"c"}
        package = open_package(write_package(place, files), cache=cache)
        assert package.adapter.weights.read_bytes() == b"b"
        assert package.adapter.config is None

    def test_one_file_may_be_the_whole_adapter(self, place: Path, cache: Cache) -> None:
        manifest = manifest_v1(adapters=[{"path": "weights/one.safetensors"}])
        files = {"manifest.json": manifest_bytes(manifest), "weights/one.safetensors": b"w"}
        package = open_package(write_package(place, files), cache=cache)
        assert package.adapter.weights == package.root / "weights" / "one.safetensors"
        assert package.adapter.config is None

    def test_several_candidates_are_not_guessed_between(self, place: Path, cache: Cache) -> None:
        files = {
            "manifest.json": manifest_bytes(manifest_v2()),
            f"checkpoint-1/{WEIGHTS}": b"1",
            f"checkpoint-2/{WEIGHTS}": b"2",
        }
        message = failure(write_package(place, files), cache)
        assert "2 adapters and no word on which to use" in message
        assert f"checkpoint-1/{WEIGHTS}, checkpoint-2/{WEIGHTS}" in message
        assert "adapters[0].path" in message

    def test_no_adapter_says_where_it_looked(self, place: Path, cache: Cache) -> None:
        files = {"manifest.json": manifest_bytes(manifest_v1())}
        message = failure(write_package(place, files), cache)
        assert f"no {WEIGHTS}" in message
        assert "weights/tiny/adapter, weights/weights/tiny/adapter, the top folder" in message
        assert "save_pretrained" in message

    def test_a_pickled_adapter_must_be_saved_again(self, place: Path, cache: Cache) -> None:
        files = {"manifest.json": manifest_bytes(manifest_v2()), "a/adapter_model.bin": b"\x80"}
        message = failure(write_package(place, files), cache)
        assert "a/adapter_model.bin is a pickle" in message
        assert "safe_serialization=True" in message

"""Links in a package: those that lead out are not followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from hivellm_lite.cache import Cache
from hivellm_lite.package import open_package

from .packages import expert_files, manifest_bytes, manifest_v2, write_package
from .refusals import failure

WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


class TestLinks:
    @pytest.mark.parametrize("name", ["manifest.json", WEIGHTS, "adapter_config.json"])
    def test_a_link_out_of_the_folder_is_refused(
        self, tmp_path: Path, cache: Cache, name: str
    ) -> None:
        path = write_package(tmp_path / "p", expert_files())
        (path / name).rename(tmp_path / "outside")
        (path / name).symlink_to(tmp_path / "outside")
        assert f"{name}: a link that leads out of the package" in failure(path, cache)

    def test_a_linked_folder_is_refused(self, tmp_path: Path, cache: Cache) -> None:
        path = write_package(tmp_path / "p", {"manifest.json": manifest_bytes(manifest_v2())})
        write_package(tmp_path / "outside", expert_files())
        (path / "adapter").symlink_to(tmp_path / "outside")
        assert "leads out of the package" in failure(path, cache)

    def test_a_link_within_the_folder_is_fine(self, tmp_path: Path, cache: Cache) -> None:
        path = write_package(tmp_path / "p", expert_files(adapter="adapter/"))
        (path / WEIGHTS).symlink_to(Path("adapter") / WEIGHTS)
        assert open_package(path, cache=cache).adapter.weights == path / WEIGHTS

    def test_a_folder_of_the_hugging_face_cache_links_to_its_blobs(
        self, tmp_path: Path, cache: Cache
    ) -> None:
        blobs = write_package(tmp_path / "models--x" / "blobs", expert_files())
        snapshot = tmp_path / "models--x" / "snapshots" / "0a1b"
        snapshot.mkdir(parents=True)
        for path in blobs.iterdir():
            (snapshot / path.name).symlink_to(Path("..") / ".." / "blobs" / path.name)
        assert open_package(snapshot, cache=cache).adapter.weights == snapshot / WEIGHTS

    def test_the_package_itself_may_be_a_link(self, tmp_path: Path, cache: Cache) -> None:
        write_package(tmp_path / "real", expert_files())
        (tmp_path / "p").symlink_to(tmp_path / "real")
        assert open_package(tmp_path / "p", cache=cache).source == tmp_path / "p"

"""Links in a package: those that lead out are not followed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hivellm_lite.cache import Cache
from hivellm_lite.errors import PackageError
from hivellm_lite.package import open_package
from hivellm_lite.package.files import file_in, read_in

from ..support.packages import expert_files, manifest_bytes, manifest_v2, write_package
from ..support.refusals import failure

WEIGHTS = "adapter_model.safetensors"


class TestLinks:
    @pytest.mark.parametrize("name", ["manifest.json", WEIGHTS, "adapter_config.json"])
    def test_a_link_out_of_the_folder_is_refused(
        self, tmp_path: Path, cache: Cache, name: str
    ) -> None:
        path = write_package(tmp_path / "p", expert_files())
        (path / name).rename(tmp_path / "outside")
        (path / name).symlink_to(tmp_path / "outside")
        assert f"{name}: a link that leads out of the package" in failure(path, cache)

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
    @pytest.mark.parametrize("chain", [False, True])
    def test_a_link_out_of_the_folder_of_a_base_is_refused(
        self, tmp_path: Path, cache: Cache, name: str, chain: bool
    ) -> None:
        path = write_package(tmp_path / "p", {**expert_files(), "base/config.json": b"{}"})
        (tmp_path / "outside").write_bytes(b"{}")
        (path / "base" / name).unlink(missing_ok=True)
        if chain:
            (path / "second").symlink_to(tmp_path / "outside")
            (path / "base" / name).symlink_to(Path("..") / "second")
        else:
            (path / "base" / name).symlink_to("/etc/passwd")
        assert f"{name}: a link that leads out of the package" in failure(path, cache)

    def test_a_base_that_is_a_link_is_refused(self, tmp_path: Path, cache: Cache) -> None:
        path = write_package(tmp_path / "p", expert_files())
        outside = write_package(tmp_path / "outside", {"config.json": b"{}"})
        (path / "base").symlink_to(outside)
        assert "leads out of the package" in failure(path, cache)

    @pytest.mark.parametrize("name", ["tokenizer.json", "chat_template.jinja", "grammar.gbnf"])
    def test_a_link_out_of_any_file_that_is_opened_is_refused(
        self, tmp_path: Path, cache: Cache, name: str
    ) -> None:
        path = write_package(tmp_path / "p", expert_files())
        (path / name).symlink_to("/etc/passwd")
        assert f"{name}: a link that leads out of the package" in failure(path, cache)

    def test_a_circle_of_links_is_as_good_as_no_file(self, tmp_path: Path, cache: Cache) -> None:
        path = write_package(tmp_path / "p", expert_files())
        (path / "grammar.gbnf").symlink_to("grammar.gbnf")
        assert open_package(path, cache=cache).grammar is None

    def test_a_link_that_takes_the_place_of_a_file_is_not_followed(self, tmp_path: Path) -> None:
        path = write_package(tmp_path / "p", expert_files())
        found = file_in(path, "manifest.json")
        assert found is not None
        assert read_in(path, found, 5) == found.read_bytes()[:5]
        found.unlink()
        found.symlink_to("/etc/passwd")
        with pytest.raises(PackageError, match="leads out of the package"):
            read_in(path, found, 5)

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

    def test_so_does_a_folder_within_it_and_a_base_within_that(
        self, tmp_path: Path, cache: Cache
    ) -> None:
        files = {**expert_files(adapter="adapter/"), "base/config.json": b"{}"}
        files["adapter/tokenizer.json"] = b"{}"
        blobs = tmp_path / "models--x" / "blobs"
        package = tmp_path / "models--x" / "snapshots" / "0a1b" / "sql"
        blobs.mkdir(parents=True)
        for number, (name, data) in enumerate(files.items()):
            (blobs / str(number)).write_bytes(data)
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (package / name).symlink_to(blobs / str(number))
        opened = open_package(package, cache=cache)
        assert opened.base_folder == package / "base"
        assert opened.adapter.weights == package / "adapter" / WEIGHTS

    def test_the_package_itself_may_be_a_link(self, tmp_path: Path, cache: Cache) -> None:
        write_package(tmp_path / "real", expert_files())
        (tmp_path / "p").symlink_to(tmp_path / "real")
        assert open_package(tmp_path / "p", cache=cache).source == tmp_path / "p"


class TestSizes:
    @pytest.mark.parametrize(
        ("name", "size"),
        [("grammar.gbnf", 1 << 40), ("tokenizer.json", 1 << 40), (WEIGHTS, 1 << 40)],
    )
    def test_a_file_that_claims_a_terabyte_is_not_hashed(
        self, tmp_path: Path, cache: Cache, name: str, size: int
    ) -> None:
        path = write_package(tmp_path / "p", expert_files())
        with (path / name).open("ab") as file:
            file.truncate(size)
        assert f"{name}: {size} bytes: more than a package's" in failure(path, cache)

    def test_many_links_to_one_file_are_one_file(self, tmp_path: Path, cache: Cache) -> None:
        digest = hashlib.sha256(bytes(300 << 20)).hexdigest()
        links = {f"link{i}": digest for i in range(50)}
        manifest = manifest_v2(integrity={"files": {"zeros": digest, **links}})
        path = write_package(tmp_path / "p", {**expert_files(manifest)})
        with (path / "zeros").open("wb") as file:
            file.truncate(300 << 20)
        for name in links:
            (path / name).symlink_to("zeros")
        assert open_package(path, cache=cache).manifest.integrity is not None

"""Digests beside a package, in its manifest, and of a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from hivellm_lite.cache.digests import digest_file
from hivellm_lite.cache.store import Cache
from hivellm_lite.package import Package, open_package
from hivellm_lite.package.digests import write_sidecar

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
PICKLED_DIGEST = "cd" * 32


class TestSidecar:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_package(tmp_path / "p.expert", expert_files())

    def beside(self, path: Path, text: str) -> None:
        path.with_name("p.expert.sha256").write_bytes(text.encode())

    @pytest.mark.parametrize(
        "form",
        ["{}  p.expert\n", "{}", "{} *p.expert\r\n", "\ufeff{}  other name.expert", "\\{}  p\n"],
    )
    @pytest.mark.parametrize("case", [str.lower, str.upper])
    def test_a_matching_digest_in_any_form_is_accepted(
        self, path: Path, cache: Cache, form: str, case: Any
    ) -> None:
        self.beside(path, form.format(case(digest_file(path))))
        assert open_package(path, cache=cache).digest == digest_file(path)

    def test_another_digest_is_an_error_with_a_way_out(self, path: Path, cache: Cache) -> None:
        self.beside(path, f"{'ab' * 32}  p.expert\n")
        message = failure(path, cache)
        assert digest_file(path) in message
        assert "ab" * 32 in message
        assert "--no-verify (verify=False)" in message
        assert not cache.root.exists()

    @pytest.mark.parametrize("text", ["", "not a digest", "ab" * 31, "zz" * 32, "ab" * 3000])
    def test_a_malformed_digest_file_is_an_error(self, path: Path, cache: Cache, text: str) -> None:
        self.beside(path, text)
        assert "p.expert.sha256: expected one line" in failure(path, cache)

    @pytest.mark.parametrize("text", ["nonsense", "ab" * 32])
    def test_verify_false_ignores_it(self, path: Path, cache: Cache, text: str) -> None:
        self.beside(path, text)
        assert isinstance(open_package(path, cache=cache, verify=False), Package)

    def test_one_that_is_written_is_read_by_us_and_by_sha256sum(
        self, path: Path, cache: Cache
    ) -> None:
        write_sidecar(path, digest_file(path))
        assert open_package(path, cache=cache).digest == digest_file(path)
        odd = path.rename(path.with_name("a\\b \n.expert"))
        sidecar = write_sidecar(odd, digest_file(odd))
        assert open_package(odd, cache=cache).digest == digest_file(odd)
        subprocess.run(["sha256sum", "--check", "--status", sidecar], cwd=odd.parent, check=True)


class TestManifestDigests:
    def test_matching_digests_are_accepted(self, place: Path, cache: Cache, tmp_path: Path) -> None:
        weights = tmp_path / "w"
        weights.write_bytes(expert_files()[WEIGHTS])
        fields = {"sha256": digest_file(weights), "size_bytes": weights.stat().st_size}
        manifest = v2_adapter(**fields)
        manifest["integrity"] = {
            "files": {
                "manifest.json": "00" * 32,
                f"./{WEIGHTS}": digest_file(weights),
                "training_args.bin": PICKLED_DIGEST,
                "odd.txt": PICKLED_DIGEST,
            }
        }
        files = {**expert_files(manifest), "odd.txt": b"\x7fELF"}
        if place.name == "folder":
            del manifest["integrity"]["files"]["odd.txt"]
            files["manifest.json"] = manifest_bytes(manifest)
        open_package(write_package(place, files), cache=cache)

    @pytest.mark.parametrize("verify", [True, False])
    def test_other_weights_are_an_error_even_without_verify(
        self, place: Path, cache: Cache, verify: bool
    ) -> None:
        files = expert_files(v2_adapter(sha256="ab" * 32))
        message = failure(write_package(place, files), cache, verify=verify)
        assert f"{WEIGHTS}: SHA-256 " in message
        assert f"the manifest says {'ab' * 32}" in message

    def test_another_size_is_a_note(self, place: Path, cache: Cache) -> None:
        """Published packages carry nominal sizes."""
        files = expert_files(v2_adapter(size_bytes=8388608))
        package = open_package(write_package(place, files), cache=cache)
        size = len(files[WEIGHTS])
        assert package.notes == (f"{WEIGHTS}: {size} bytes, the manifest says 8388608",)

    def test_the_right_size_is_no_note(self, place: Path, cache: Cache) -> None:
        files = expert_files(v2_adapter(size_bytes=len(expert_files()[WEIGHTS])))
        assert open_package(write_package(place, files), cache=cache).notes == ()

    def test_every_listed_file_is_compared(self, place: Path, cache: Cache) -> None:
        listed = {"a.txt": "ab" * 32, "gone.txt": "ab" * 32, "../out": "ab" * 32}
        files = {**expert_files(manifest_v2(integrity={"files": listed})), "a.txt": b"x"}
        message = failure(write_package(place, files), cache)
        assert "a.txt: SHA-256 2d711642" in message
        assert "gone.txt: missing, but listed in integrity.files" in message
        assert "'../out': a path that leaves the package" in message

    def test_with_several_adapters_only_the_named_one_is_compared(
        self, place: Path, cache: Cache
    ) -> None:
        adapters = [{"path": "gone", "sha256": "07" * 32}, {"path": "b", "sha256": "08" * 32}]
        manifest = manifest_v1(adapters=adapters)
        at_root = write_package(place, expert_files(manifest))
        assert open_package(at_root, cache=cache).adapter.weights.parent.name != "b"

    def test_with_several_adapters_the_named_one_is_compared(
        self, place: Path, cache: Cache
    ) -> None:
        adapters = [{"path": "gone", "sha256": "07" * 32}, {"path": "b", "sha256": "08" * 32}]
        path = write_package(place, expert_files(manifest_v1(adapters=adapters), adapter="b/"))
        assert f"the manifest says {'08' * 32}" in failure(path, cache)


class TestFolderDigest:
    def digest(self, path: Path, cache: Cache) -> str:
        return open_package(path, cache=cache).digest

    def test_it_follows_the_content_and_not_the_place(self, tmp_path: Path, cache: Cache) -> None:
        one = write_package(tmp_path / "one", expert_files())
        two = write_package(tmp_path / "two", {**expert_files(), "README.md": b"other"})
        assert self.digest(one, cache) == self.digest(two, cache)
        assert len(self.digest(one, cache)) == 64

    @pytest.mark.parametrize(
        "name",
        ["manifest.json", WEIGHTS, "adapter_config.json", "grammar.gbnf", "tokenizer.json"],
    )
    def test_it_changes_with_every_file_that_matters(
        self, tmp_path: Path, cache: Cache, name: str
    ) -> None:
        path = write_package(tmp_path / "one", expert_files())
        before = self.digest(path, cache)
        with (path / name).open("ab") as file:
            file.write(b" ")
        assert self.digest(path, cache) != before

    def test_a_tokenizer_beside_the_adapter_matters(self, tmp_path: Path, cache: Cache) -> None:
        path = write_package(tmp_path / "one", expert_files(adapter="adapter/"))
        before = self.digest(path, cache)
        (path / "adapter" / "vocab.json").write_bytes(b"{}")
        assert self.digest(path, cache) != before

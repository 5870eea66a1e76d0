"""Opening packages: forms, the cache, and what the errors say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hivellm_lite.cache.digests import digest_file
from hivellm_lite.cache.store import Cache
from hivellm_lite.errors import ManifestError, PackageError
from hivellm_lite.hub import Hub
from hivellm_lite.loading.files import find_package
from hivellm_lite.package import open_package
from hivellm_lite.strict_json.parsing import MAX_BYTES

from ..support.packages import expert_files, manifest_v1, manifest_v2, write_package
from ..support.refusals import failure
from ..support.systems import needs_posix

WEIGHTS = "adapter_model.safetensors"


class TestForms:
    def test_an_archive_is_read_from_the_cache(self, tmp_path: Path, cache: Cache) -> None:
        files = {**expert_files(), "training_args.bin": b"pickle", "README.md": b"# x"}
        path = write_package(tmp_path / "p.expert", files)
        package = open_package(str(path), cache=cache)
        assert package.source == path
        assert cache.root in package.root.parents
        assert package.digest == digest_file(path)
        assert package.manifest.identity == "expert-tiny@0.3.0"
        assert package.adapter.weights == package.root / WEIGHTS
        assert package.adapter.config == package.root / "adapter_config.json"
        assert package.skipped == ("training_args.bin",)
        assert package.grammar is None
        assert package.base_folder is None
        del files["training_args.bin"]
        assert package.files == tuple(sorted((name, len(data)) for name, data in files.items()))

    def test_a_folder_is_used_in_place(self, tmp_path: Path, cache: Cache) -> None:
        path = write_package(tmp_path / "p", expert_files())
        package = open_package(path, cache=cache)
        assert package.source == package.root == path
        assert not cache.root.exists()

    def test_a_relative_path_becomes_absolute(
        self, tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_package(tmp_path / "p", expert_files())
        monkeypatch.chdir(tmp_path)
        assert open_package("p", cache=cache).source == tmp_path / "p"

    def test_a_folder_around_everything_is_no_obstacle(self, tmp_path: Path, cache: Cache) -> None:
        files = {f"expert-tiny/{name}": data for name, data in expert_files().items()}
        package = open_package(write_package(tmp_path / "p.expert", files), cache=cache)
        assert package.adapter.weights == package.root / WEIGHTS

    def test_a_base_inside_is_found(self, place: Path, cache: Cache) -> None:
        files = {**expert_files(), "base/config.json": b"{}"}
        package = open_package(write_package(place, files), cache=cache)
        assert package.base_folder == package.root / "base"

    def test_a_file_called_like_the_cache_record_is_no_obstacle(
        self, tmp_path: Path, cache: Cache
    ) -> None:
        path = write_package(tmp_path / "p.expert", {**expert_files(), "entry.json": b"trap"})
        for _ in range(2):
            package = open_package(path, cache=cache)
            assert (package.root / "entry.json").read_bytes() == b"trap"


class TestGrammar:
    @pytest.mark.parametrize(
        ("named", "present", "found"),
        [
            (None, ["grammar.gbnf"], "grammar.gbnf"),
            ("sql.gbnf", ["grammar.gbnf", "sql.gbnf"], "sql.gbnf"),
            ("g\\sql.gbnf", ["g/sql.gbnf"], "g/sql.gbnf"),
            ("gone.gbnf", ["grammar.gbnf"], "grammar.gbnf"),
            ("../../etc/passwd", ["grammar.gbnf"], "grammar.gbnf"),
            ("gone.gbnf", [], None),
        ],
    )
    def test_the_named_grammar_comes_first(
        self, place: Path, cache: Cache, named: str | None, present: list[str], found: str | None
    ) -> None:
        manifest = manifest_v2(training={"decoding": {"grammar_file": named}})
        files = {**expert_files(manifest), **dict.fromkeys(present, b'root ::= "x"')}
        package = open_package(write_package(place, files), cache=cache)
        assert package.grammar == (None if found is None else package.root / found)


class TestCaching:
    def test_the_second_opening_unpacks_nothing(self, tmp_path: Path, cache: Cache) -> None:
        path = write_package(tmp_path / "p.expert", expert_files())
        first = open_package(path, cache=cache)
        before = first.adapter.weights.stat().st_mtime_ns
        assert open_package(path, cache=cache) == first
        assert first.adapter.weights.stat().st_mtime_ns == before

    def test_the_same_archive_elsewhere_shares_the_entry(
        self, tmp_path: Path, cache: Cache
    ) -> None:
        first = open_package(write_package(tmp_path / "p.expert", expert_files()), cache=cache)
        copy = tmp_path / "copy.expert"
        copy.write_bytes((tmp_path / "p.expert").read_bytes())
        assert open_package(copy, cache=cache).root == first.root

    @pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"short")])
    def test_a_harmed_entry_is_unpacked_again(
        self, tmp_path: Path, cache: Cache, harm: Any
    ) -> None:
        path = write_package(tmp_path / "p.expert", expert_files())
        first = open_package(path, cache=cache)
        harm(first.adapter.weights)
        again = open_package(path, cache=cache)
        assert again.adapter.weights.read_bytes() == expert_files()[WEIGHTS]

    def test_an_archive_that_is_refused_leaves_nothing_in_the_cache(
        self, tmp_path: Path, cache: Cache
    ) -> None:
        path = write_package(tmp_path / "p.expert", {**expert_files(), "../x": b""})
        assert "leaves the package" in failure(path, cache)
        assert list(cache.entries()) == []
        assert not (tmp_path / "x").exists()

    def test_an_archive_that_changes_meanwhile_is_noticed(
        self, tmp_path: Path, cache: Cache
    ) -> None:
        """A cache that lets somebody else write the archive just before it is unpacked."""
        path = write_package(tmp_path / "p.expert", expert_files())

        class Slow(Cache):
            def get_or_build(self, *arguments: Any, **options: Any) -> Any:
                write_package(path, expert_files(manifest_v1()))
                return super().get_or_build(*arguments, **options)

        message = failure(path, Slow(cache.root))
        assert "was changed while it was read" in message
        assert list(cache.entries()) == []


class TestErrors:
    def test_nothing_there(self, tmp_path: Path, cache: Cache) -> None:
        assert failure(tmp_path / "gone", cache).startswith(f"{tmp_path / 'gone'}: no such file")

    @needs_posix("named pipes")
    def test_a_pipe_is_no_package(self, tmp_path: Path, cache: Cache) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert "neither a file nor a folder" in failure(tmp_path / "pipe", cache)

    def test_a_path_that_the_system_cannot_take(self, tmp_path: Path, cache: Cache) -> None:
        message = failure(tmp_path / ("n" * 300), cache)
        assert message.endswith("no such file or folder\nGive an .expert file or its folder.")

    def test_an_empty_name_is_not_the_current_folder(
        self, tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(write_package(tmp_path / "x", expert_files()))
        assert open_package(".", cache=cache).manifest.name == "expert-tiny"
        for name in ("", " "):
            with pytest.raises(PackageError):
                find_package(name, cache=cache, hub=Hub.from_environment(offline=True))
        with pytest.raises(PackageError, match="is empty"):
            open_package("", cache=cache)

    @pytest.mark.parametrize(
        ("names", "listed", "advice"),
        [
            (["adapter_config.json", WEIGHTS], "adapter_config.json", "PEFT adapter"),
            (["config.json", "model.safetensors"], "config.json", "base model"),
            (["x.expert"], "x.expert", "x.expert"),
            (["notes.txt"], "notes.txt", "at its top"),
            ([f"{i:02}" for i in range(12)], "08, 09 …", "at its top"),
        ],
    )
    def test_without_a_manifest_it_says_what_is_there(
        self, place: Path, cache: Cache, names: list[str], listed: str, advice: str
    ) -> None:
        message = failure(write_package(place, dict.fromkeys(names, b"x")), cache)
        first, holds, last = message.splitlines()
        assert first == f"{place}: no manifest.json"
        assert listed in holds
        assert advice in last

    def test_an_empty_folder(self, tmp_path: Path, cache: Cache) -> None:
        (tmp_path / "p").mkdir()
        assert "It holds: nothing" in failure(tmp_path / "p", cache)

    def test_a_manifest_that_is_a_folder(self, tmp_path: Path, cache: Cache) -> None:
        (tmp_path / "p" / "manifest.json").mkdir(parents=True)
        assert "no manifest.json" in failure(tmp_path / "p", cache)

    def test_a_wrong_manifest_names_the_package(self, place: Path, cache: Cache) -> None:
        path = write_package(place, expert_files(manifest_v2(name=None)))
        with pytest.raises(ManifestError, match=rf"^{place.name}/manifest\.json: 1 problem"):
            open_package(path, cache=cache)

    def test_an_endless_manifest_is_not_read(self, tmp_path: Path, cache: Cache) -> None:
        path = write_package(tmp_path / "p", expert_files())
        with (path / "manifest.json").open("r+b") as file:
            file.truncate(1 << 40)
        with pytest.raises(ManifestError, match=f"over {MAX_BYTES} bytes"):
            open_package(path, cache=cache)

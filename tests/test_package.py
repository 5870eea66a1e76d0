"""Opening packages: layouts, digests, the cache, and what the errors say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hivellm_lite.cache import Cache, digest_file
from hivellm_lite.errors import ManifestError, PackageError
from hivellm_lite.json_positions import MAX_BYTES
from hivellm_lite.package import Package, open_package

from .packages import expert_files, manifest_bytes, manifest_v1, manifest_v2, write_package

WEIGHTS = "adapter_model.safetensors"
PICKLED_DIGEST = "cd" * 32


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def failure(path: Path, cache: Cache, **options: Any) -> str:
    with pytest.raises(PackageError) as caught:
        open_package(path, cache=cache, **options)
    return str(caught.value)


def with_adapter(**fields: Any) -> dict[str, Any]:
    base = manifest_v2()["base_models"][0]
    return manifest_v2(base_models=[{**base, "adapters": [fields]}])


@pytest.fixture(params=["p.expert", "p.zip", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where to write a package: each form in turn."""
    return tmp_path / str(request.param)


class TestForms:
    def test_an_archive_is_read_from_the_cache(self, tmp_path: Path, cache: Cache) -> None:
        files = {**expert_files(), "training_args.bin": b"pickle", "README.md": b"# x"}
        path = write_package(tmp_path / "p.expert", files)
        package = open_package(str(path), cache=cache)
        assert package.source == path
        assert cache.root in package.root.parents
        assert package.digest == digest_file(path)
        assert package.manifest.identity == "expert-tiny 0.3.0"
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
        manifest = with_adapter(path=named)
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


class TestManifestDigests:
    def test_matching_digests_are_accepted(self, place: Path, cache: Cache, tmp_path: Path) -> None:
        weights = tmp_path / "w"
        weights.write_bytes(expert_files()[WEIGHTS])
        fields = {"sha256": digest_file(weights), "size_bytes": weights.stat().st_size}
        manifest = with_adapter(**fields)
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
    @pytest.mark.parametrize(
        ("fields", "word"), [({"sha256": "ab" * 32}, "SHA-256"), ({"size_bytes": 7}, "bytes")]
    )
    def test_other_weights_are_an_error_even_without_verify(
        self, place: Path, cache: Cache, fields: dict[str, Any], word: str, verify: bool
    ) -> None:
        files = expert_files(with_adapter(**fields))
        message = failure(write_package(place, files), cache, verify=verify)
        assert f"{WEIGHTS}: {word} " in message
        assert f"the manifest says {next(iter(fields.values()))}" in message

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
        adapters = [{"path": "gone", "size_bytes": 7}, {"path": "b", "size_bytes": 8}]
        manifest = manifest_v1(adapters=adapters)
        at_root = write_package(place, expert_files(manifest))
        assert open_package(at_root, cache=cache).adapter.weights.parent.name != "b"

    def test_with_several_adapters_the_named_one_is_compared(
        self, place: Path, cache: Cache
    ) -> None:
        adapters = [{"path": "gone", "size_bytes": 7}, {"path": "b", "size_bytes": 8}]
        path = write_package(place, expert_files(manifest_v1(adapters=adapters), adapter="b/"))
        assert "the manifest says 8" in failure(path, cache)


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


class TestErrors:
    def test_nothing_there(self, tmp_path: Path, cache: Cache) -> None:
        assert failure(tmp_path / "gone", cache).startswith(f"{tmp_path / 'gone'}: no such file")

    def test_a_pipe_is_no_package(self, tmp_path: Path, cache: Cache) -> None:
        os.mkfifo(tmp_path / "pipe")
        assert "no such file or folder" in failure(tmp_path / "pipe", cache)

    def test_a_path_that_the_system_cannot_take(self, tmp_path: Path, cache: Cache) -> None:
        assert "File name too long" in failure(tmp_path / ("n" * 300), cache)

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

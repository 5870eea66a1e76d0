"""Damaged entries of the cache: noticed at the next use, and made again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hivellm_lite import Expert, LoadError
from hivellm_lite.cache.digests import digest_file
from hivellm_lite.cache.entries import find_damage
from hivellm_lite.cache.sources import SourceWatch
from hivellm_lite.cache.store import Cache
from hivellm_lite.cache.upkeep import survey, verify

from ..support.packages import write_package
from ..support.paths import FIXTURES

QUICK = {"n_ctx": 256, "n_threads": 1}
MODEL = FIXTURES / "models" / "tiny-llama"


def rewritten(path: Path, data: bytes) -> None:
    """Other bytes in the same file, as a failing disk or another program leaves them."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate(len(data))


def zeroed(path: Path) -> None:
    rewritten(path, bytes(path.stat().st_size))


def halved(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    rewritten(path, bytes(data))


def replaced_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replaced_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def linked_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nothing"))


FILE_DAMAGE = [
    *(Path.unlink, halved, zeroed, flipped, replaced_by_folder, linked_to_nothing),
    pytest.param(
        replaced_by_pipe, marks=pytest.mark.skipif(os.name != "posix", reason="has no pipes")
    ),
]


def edited(**values):
    def change(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    change.__name__ = "-".join(values)
    return change


def overwritten(text: str):
    def change(path: Path) -> None:
        path.write_text(text)

    change.__name__ = f"overwritten-{text[:6]}"
    return change


ENTRY_DAMAGE = [
    *FILE_DAMAGE,
    *map(overwritten, ("", "{}", "[]", "null", "{", "[" * 200_000, '{"check": NaN}', "\x00" * 64)),
    lambda path: path.write_bytes(b"\xff\xfe{\x00}\x00"),
    edited(sources=5),
    edited(sources=[{}]),
    edited(artefacts=None),
    edited(artefacts={}),
    edited(adapter=None),
    edited(adapter={"form": "variant"}),
    edited(parts=[1, None]),
    edited(skipped={"a": 1}),
    edited(digests=[]),
    edited(check="0" * 64),
]


@pytest.fixture
def used(tmp_path, tiny_package):
    """An expert of an archive on a folder's base, loaded once in each form."""
    package = tiny_package()
    cache = Cache(tmp_path / "cache")

    def answer(mode: str = "auto") -> str:
        with Expert.load(
            package,
            base=MODEL,
            cache_dir=cache.root,
            adapter_mode=mode,
            quantization="f32",
            **QUICK,
        ) as expert:
            return expert.generate("Hello", temperature=0.0, max_tokens=5).text

    def folder(kind: str) -> Path:
        return sorted((cache.root / kind).iterdir())[0]

    return SimpleNamespace(cache=cache, answer=answer, folder=folder, package=package)


@pytest.mark.parametrize("damage", FILE_DAMAGE)
@pytest.mark.parametrize(
    ("kind", "pattern", "mode"),
    [
        ("packages", "files/adapter_model.safetensors", "auto"),
        ("packages", "files/manifest.json", "auto"),
        ("bases", "model.gguf", "auto"),
        ("adapters", "adapter.gguf", "auto"),
        ("adapters", "*.gguf", "exact"),
        ("splits", "*.gguf", "exact"),
    ],
)
def test_a_damaged_file_is_made_again(used, kind, pattern, mode, damage):
    wanted = used.answer(mode)
    file = sorted(used.folder(kind).glob(pattern))[0]
    before = digest_file(file)
    damage(file)
    assert used.answer(mode) == wanted
    assert digest_file(file) == before
    assert all(item.problem is None for item in verify(used.cache))


@pytest.mark.parametrize("damage", ENTRY_DAMAGE)
def test_a_damaged_description_of_any_kind_is_made_again(used, damage):
    wanted = used.answer("exact")
    for kind in ("packages", "bases", "splits", "adapters"):
        damage(used.folder(kind) / "entry.json")
        assert used.answer("exact") == wanted
    assert all(item.problem is None for item in survey(used.cache))


def test_a_damaged_file_of_the_same_size_and_time_is_found_when_it_fails(used):
    wanted = used.answer()
    for kind, name in (("adapters", "adapter.gguf"), ("bases", "model.gguf")):
        file = used.folder(kind) / name
        before = file.stat()
        with file.open("r+b") as opened:
            opened.write(b"\xff" * 200)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert used.answer() == wanted


def test_an_entry_that_is_removed_while_it_is_used_is_made_again(used, monkeypatch):
    """As 'cache clear' in another process does, between finding the entry and opening it."""
    wanted = used.answer()
    from hivellm_lite.loading import files

    once = []
    prepare = files.prepare_adapter

    def prepared_then_removed(*arguments, **options):
        result = prepare(*arguments, **options)
        if not once:
            once.append(1)
            Cache(used.cache.root).clear()
        return result

    monkeypatch.setattr(files, "prepare_adapter", prepared_then_removed)
    assert used.answer() == wanted
    assert once


def test_an_entry_of_another_version_is_made_again(used, caplog):
    wanted = used.answer()
    for kind in ("packages", "bases", "adapters"):
        path = used.folder(kind) / "entry.json"
        info = json.loads(path.read_text())
        path.write_text(
            json.dumps({k: v for k, v in info.items() if k not in ("check", "artefacts")})
        )
    assert used.answer() == wanted
    assert "another version of this program made it" in caplog.text


def test_an_entry_under_another_key_is_not_taken_for_it(used):
    wanted = used.answer()
    folder = used.folder("adapters")
    moved = folder.with_name("0" * 32)
    folder.rename(moved)
    assert used.cache.find("adapters", moved.name) is None
    assert used.answer() == wanted


def test_a_cache_that_was_copied_is_used_as_it_is(used, tmp_path):
    wanted = used.answer("exact")
    copy = tmp_path / "copy"
    shutil.copytree(used.cache.root, copy, copy_function=shutil.copyfile)  # times are now
    rounded = tmp_path / "rounded"
    shutil.copytree(used.cache.root, rounded)
    for file in rounded.rglob("*.gguf"):  # as tar and layers of containers do
        seconds = int(file.stat().st_mtime)
        os.utime(file, (seconds, seconds))
    for root in (copy, rounded):
        entries = list(Cache(root).entries())
        assert len(entries) == 4
        assert all(find_damage(entry, digests=True) is None for entry in entries)
    used.cache.root = copy
    assert used.answer("exact") == wanted


def test_what_is_recorded_later_does_not_look_like_damage(used):
    used.answer()
    (entry,) = used.cache.entries("adapters")
    entry.record("verified", {"kl": 1e-5})
    (again,) = used.cache.entries("adapters")
    assert again.info["verified"] == {"kl": 1e-5}


@pytest.mark.parametrize("text", ["", "x" * 64, "\udcff", "0" * 63])
def test_a_damaged_fingerprint_is_computed_again(tmp_path, text):
    cache = Cache(tmp_path / "cache")
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    wanted = cache.fingerprint(file)
    (note,) = (cache.root / "fingerprints").iterdir()
    note.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert cache.fingerprint(file) == wanted == digest_file(file)
    assert note.read_text() == wanted


def test_damage_is_told_once_and_only_where_it_matters(used, caplog):
    used.answer()
    used.answer()
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    halved(used.folder("adapters") / "adapter.gguf")
    used.answer()
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "cannot be used and is made again: adapter.gguf has" in record.getMessage()


def test_a_damaged_entry_in_a_cache_that_cannot_be_written_is_explained(used):
    used.answer()
    halved(used.folder("adapters") / "adapter.gguf")
    locks = used.cache.root / "locks"
    shutil.rmtree(locks)
    locks.write_text("in the way")
    with pytest.raises(Exception, match=r"is damaged \(adapter.gguf has .*cannot be made again"):
        used.answer()


class TestUpkeep:
    """``cache list``, ``prune``, ``clear`` and ``verify`` in a folder with all sorts of things."""

    @pytest.fixture
    def littered(self, tool, tiny_package, tiny_base, home):
        package = tiny_package()
        tool("convert", package, "--base", tiny_base)
        (entry,) = (home / "adapters").iterdir()
        outside = home.parent / "outside"
        outside.mkdir()
        (outside / "precious").write_text("keep")
        (home / "adapters" / ("1" * 32)).write_text("a file where a folder belongs")
        (home / "adapters" / ("2" * 32)).symlink_to(outside)
        (home / "adapters" / ("3" * 32)).symlink_to(home / "nothing")
        (home / "adapters" / ("4" * 32)).mkdir()
        (home / "adapters" / "notes.txt").write_text("somebody's own")
        (home / "adapters" / ("n" * 255)).mkdir()
        (home / "packages" / "sub").mkdir()
        (home / "packages" / "sub" / "file").write_text("somebody's own")
        (home / "bases").write_text("a file where a kind belongs")
        (home / "tmp" / "mine").write_text("somebody's own")
        (home / "tmp" / f"adapters-{'5' * 32}").mkdir()
        (home / "fingerprints").mkdir(exist_ok=True)
        (home / "fingerprints" / "mine").write_text("somebody's own")
        return entry, outside

    def test_lists_all_of_it_with_what_is_wrong(self, tool, littered):
        code, out, err = tool("cache", "list", "--json")
        assert (code, err) == (0, "")
        problems = {item["key"]: item["problem"] for item in json.loads(out)}
        assert problems[littered[0].name] is None
        for key in "1234":
            assert problems[key * 32].startswith("damaged: entry.json cannot be read")
        assert problems["notes.txt"] == problems["sub"] == "no entry of this cache"
        assert "Not a directory" in problems["bases"]
        code, out, _ = tool("cache", "list")
        assert code == 0
        assert "6 entries" in out

    def test_prune_removes_what_is_damaged_and_nothing_else(self, tool, littered, home):
        code, out, err = tool("cache", "prune")
        assert (code, err) == (0, "")
        assert "Removed 4 entries" in out
        self._foreign_files_are_there(littered, home)
        assert littered[0].exists()
        assert not (home / "tmp" / f"adapters-{'5' * 32}").exists()

    def test_clear_removes_every_entry_and_nothing_else(self, tool, littered, home):
        code, out, err = tool("cache", "clear", "--yes")
        assert (code, err) == (0, "")
        assert "Removed 6 entries" in out
        self._foreign_files_are_there(littered, home)
        assert not littered[0].exists()

    def _foreign_files_are_there(self, littered, home):
        assert (littered[1] / "precious").read_text() == "keep"
        names = {path.name for path in (home / "adapters").iterdir()} - {littered[0].name}
        assert names == {"notes.txt", "n" * 255}
        for name in ("packages/sub/file", "tmp/mine", "fingerprints/mine"):
            assert (home / name).read_text() == "somebody's own"

    def test_verify_reads_every_byte(self, tool, tiny_package, tiny_base, home):
        tool("convert", tiny_package(), "--base", tiny_base)
        code, out, _ = tool("cache", "verify")
        assert (code, out) == (0, "2 entries are whole, 0 are damaged\n")
        (file,) = (home / "adapters").glob("*/adapter.gguf")
        before = file.stat()
        flipped(file)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        code, out, err = tool("cache", "verify")
        assert code == 1
        assert "damaged: adapter.gguf has other contents than were written" in out
        assert "verify --remove" in err
        code, out, _ = tool("cache", "verify", "--json")
        assert code == 1
        assert [item["kind"] for item in json.loads(out) if item["problem"]] == ["adapters"]
        assert tool("cache", "verify", "--remove")[0] == 0
        assert not file.exists()
        assert tool("cache", "verify")[0] == 0

    @pytest.mark.parametrize("command", ["list", "prune", "clear", "verify"])
    def test_of_no_cache_at_all_finds_nothing(self, tool, command, home):
        code, out, err = tool("cache", command, *(["--yes"] if command == "clear" else []))
        assert (code, err) == (0, "")
        assert out.split()[0] in ("0", "Removed")
        assert not home.exists()

    @pytest.mark.parametrize("command", ["list", "prune", "clear", "verify"])
    def test_of_a_file_says_so(self, tool, command, home):
        home.write_text("x")
        code, _, err = tool("cache", command, *(["--yes"] if command == "clear" else []))
        assert code == 1
        assert "is no folder" in err
        assert "defect" not in err

    @pytest.mark.skipif(sys.platform != "linux", reason="uses setpriv")
    @pytest.mark.skipif(shutil.which("setpriv") is None, reason="has no setpriv")
    def test_reports_what_may_not_be_removed_and_does_the_rest(
        self, tool, tiny_package, tiny_base, home
    ):
        tool("convert", tiny_package(), "--base", tiny_base)
        locked, kept = home / "packages", home / "packages" / ("a" * 32)
        kept.mkdir()
        (home / "locks" / f"packages-{kept.name}.lock").touch()
        locked.chmod(0o500)
        drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search,-fowner"]
        tried = subprocess.run(
            [
                *(drop if os.geteuid() == 0 else []),
                *(sys.executable, "-m", "hivellm_lite", "cache", "clear", "--yes"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        locked.chmod(0o700)
        assert tried.returncode == 1
        assert "Removed 1 entries" in tried.stdout
        assert tried.stderr.count("cannot be removed") == 2
        assert kept.exists()
        assert list((home / "adapters").iterdir()) == []


def test_a_folder_package_is_not_blamed_for_the_cache(tmp_path, tiny_package, tiny_base):
    """What lies outside the cache is no entry and is never removed."""
    from ..support.packages import adapter_files, manifest_bytes, manifest_v2

    files = adapter_files() | {"manifest.json": manifest_bytes(manifest_v2())}
    folder = write_package(tmp_path / "folder", files)
    halved(folder / "adapter_model.safetensors")
    with pytest.raises(Exception, match="safetensors"):
        Expert.load(folder, base=tiny_base, cache_dir=tmp_path / "cache", **QUICK)
    assert (folder / "adapter_model.safetensors").exists()


@pytest.mark.parametrize("damage", [replaced_by_folder, linked_to_nothing])
def test_something_else_at_the_place_of_a_lock_is_replaced(used, damage):
    wanted = used.answer()
    halved(used.folder("adapters") / "adapter.gguf")
    for lock in sorted((used.cache.root / "locks").iterdir()):
        damage(lock)
    assert used.answer() == wanted


def test_an_entry_that_another_process_makes_again_meanwhile_is_read_again(cache, tmp_path):
    def build(folder):
        (folder / "model.gguf").write_bytes(b"GGUF")
        return {}

    entry, _ = cache.get_or_build("bases", "0" * 32, build)
    ours = tmp_path / "ours.gguf"
    ours.write_bytes(b"GGUF")
    calls = []

    def read(file, n_changes):
        watch = SourceWatch(lambda: [file])
        calls.append(file)
        if len(calls) <= n_changes:
            shutil.copyfile(file, tmp_path / "again")
            (tmp_path / "again").replace(file)
        watch.check()
        return len(calls)

    assert cache.heal(lambda: read(entry.path / "model.gguf", 2)) == 3
    calls.clear()
    with pytest.raises(LoadError, match=r"ours\.gguf was changed"):
        cache.heal(lambda: read(ours, 2))
    assert len(calls) == 1
    calls.clear()
    with pytest.raises(LoadError, match=r"model\.gguf was changed"):
        cache.heal(lambda: read(entry.path / "model.gguf", 9))
    assert len(calls) == 3


def test_processes_that_find_the_same_damage_make_the_entry_again_together(tiny_package, home):
    package = tiny_package()
    given = [
        *(sys.executable, "-m", "hivellm_lite", "run", str(package), "Hello", "--base", str(MODEL)),
        *("--n-ctx", "256", "--n-threads", "1", "--temperature", "0", "--max-tokens", "5"),
    ]
    wanted = subprocess.run(given, capture_output=True, timeout=120)
    assert wanted.returncode == 0
    for damage in (halved, flipped):
        for file in home.rglob("*.gguf"):
            damage(file)
        running = [
            subprocess.Popen(given, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            for _ in range(4)
        ]
        for process in running:
            out, err = process.communicate(timeout=120)
            assert (process.returncode, out) == (0, wanted.stdout), err.decode()

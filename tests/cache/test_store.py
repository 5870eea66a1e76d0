"""The cache: whole entries or none, whatever happens meanwhile."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from hivellm_lite.cache.digests import digest_file, digest_of
from hivellm_lite.cache.folder import default_root
from hivellm_lite.cache.store import Cache
from hivellm_lite.errors import CacheError, LoadError

from ..support.systems import needs_posix


def write(text: str):
    def build(folder: Path) -> dict:
        (folder / "file").write_text(text)
        return {"text": text}

    return build


def leftovers(cache: Cache) -> list[str]:
    folder = cache.root / "tmp"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def test_an_entry_is_built_once_and_found_again(tmp_path):
    cache = Cache(tmp_path)
    assert cache.find("adapters", "k") is None
    entry, built = cache.get_or_build("adapters", "k", write("one"))
    assert built
    assert (entry.path / "file").read_text() == "one"
    again, built = cache.get_or_build("adapters", "k", write("two"))
    assert not built
    assert (again.path / "file").read_text() == "one"
    assert again.info["text"] == "one"
    assert leftovers(cache) == []


def test_a_failing_build_leaves_nothing(tmp_path):
    cache = Cache(tmp_path)

    def build(folder: Path) -> dict:
        (folder / "half").write_text("x")
        raise LoadError("no")

    with pytest.raises(LoadError, match="no"):
        cache.get_or_build("bases", "k", build)
    assert cache.find("bases", "k") is None
    assert leftovers(cache) == []


def _kill_while_building(root: Path, started) -> None:
    def build(folder: Path) -> dict:
        (folder / "half").write_text("half")
        started.set()
        time.sleep(60)
        return {}

    Cache(root).get_or_build("bases", "k", build)


@needs_posix("forks, and kills")
def test_after_a_kill_while_building_the_next_run_starts_clean(tmp_path):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=_kill_while_building, args=(tmp_path, started))
    process.start()
    assert started.wait(30)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    cache = Cache(tmp_path)
    assert leftovers(cache) == ["bases-k"]
    assert cache.find("bases", "k") is None

    entry, built = cache.get_or_build("bases", "k", write("whole"))
    assert built
    assert sorted(path.name for path in entry.path.iterdir()) == ["entry.json", "file"]
    assert leftovers(cache) == []


def test_prune_removes_what_a_killed_process_left(tmp_path):
    (tmp_path / "tmp" / "bases-k").mkdir(parents=True)
    Cache(tmp_path).prune()
    assert leftovers(Cache(tmp_path)) == []


def _build_slowly(root: Path, log: Path) -> None:
    def build(folder: Path) -> dict:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(0.2)
        (folder / "file").write_text("x" * 1000)
        return {}

    entry, _ = Cache(root).get_or_build("adapters", "k", build)
    assert (entry.path / "file").stat().st_size == 1000


def test_two_processes_that_want_the_same_entry_build_it_once(tmp_path):
    context = multiprocessing.get_context("fork")
    log = tmp_path / "log"
    processes = [
        context.Process(target=_build_slowly, args=(tmp_path / "c", log)) for _ in range(4)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(log.read_text().splitlines()) == 1


def test_prune_removes_entries_whose_sources_went_or_changed(tmp_path):
    cache = Cache(tmp_path / "cache")
    kept, gone, changed = (tmp_path / name for name in ("kept", "gone", "changed"))
    for path in (kept, gone, changed):
        path.write_text("source")
        cache.get_or_build("packages", path.name, write("x"), sources=[path])
    gone.unlink()
    changed.write_text("another source")
    assert sorted(entry.key for entry in cache.prune()) == ["changed", "gone"]
    assert [entry.key for entry in cache.entries()] == ["kept"]


def test_an_entry_stays_as_long_as_one_of_its_sources_does(tmp_path):
    cache = Cache(tmp_path / "cache")
    first, second = tmp_path / "first", tmp_path / "second"
    for path in (first, second):
        path.write_text("same")
        cache.get_or_build("packages", "k", write("x"), sources=[path])
    first.unlink()
    assert cache.prune() == []
    second.unlink()
    assert [entry.key for entry in cache.prune()] == ["k"]


def test_find_by_sources_wants_all_files_unchanged_and_the_values(tmp_path):
    cache = Cache(tmp_path / "cache")
    file = tmp_path / "weights"
    file.write_text("1")
    cache.get_or_build("bases", "k", write("x"), sources=[file])
    assert cache.find_by_sources("bases", [file], text="x") is not None
    assert cache.find_by_sources("bases", [file], text="y") is None
    assert cache.find_by_sources("adapters", [file]) is None
    file.write_text("22")
    assert cache.find_by_sources("bases", [file], text="x") is None


def test_clear_removes_everything(tmp_path):
    cache = Cache(tmp_path)
    for kind in ("packages", "adapters", "bases"):
        cache.get_or_build(kind, "k", write("x"))
    assert len(cache.clear()) == 3
    assert list(cache.entries()) == []
    assert cache.clear() == []


@pytest.mark.parametrize("damage", ["{", "[]", "", None])
def test_a_damaged_entry_is_built_again(tmp_path, damage):
    cache = Cache(tmp_path)
    entry, _ = cache.get_or_build("adapters", "k", write("old"))
    if damage is None:
        (entry.path / "entry.json").unlink()
    else:
        (entry.path / "entry.json").write_text(damage)
    assert list(cache.entries()) == []
    entry, built = cache.get_or_build("adapters", "k", write("new"))
    assert built
    assert (entry.path / "file").read_text() == "new"


def test_a_folder_as_source_is_its_files(tmp_path):
    cache = Cache(tmp_path / "cache")
    folder = tmp_path / "package"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "file").write_text("a")
    cache.get_or_build("adapters", "k", write("x"), sources=[folder])
    assert cache.prune() == []
    (folder / "sub" / "file").write_text("changed")
    assert [entry.key for entry in cache.prune()] == ["k"]


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match="HIVELLM_HOME"):
        Cache(tmp_path / "file").get_or_build("adapters", "k", write("x"))


def test_a_source_that_cannot_be_read_is_not_blamed_on_the_cache(tmp_path):
    def build(folder: Path) -> dict:
        (tmp_path / "gone").read_bytes()
        return {}

    with pytest.raises(LoadError, match=r"cannot read .*gone"):
        Cache(tmp_path / "cache").get_or_build("adapters", "k", build)


@pytest.mark.skipif(sys.platform != "linux", reason="uses RLIMIT_FSIZE")
def test_a_full_disk_is_a_clear_error_and_leaves_nothing(tmp_path):
    import resource

    cache = Cache(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def build(folder: Path) -> dict:
        (folder / "large").write_bytes(b"x" * 200_000)
        return {}

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(LoadError, match=r"full.*MB free") as caught:
            cache.get_or_build("bases", "k", build)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.__cause__.errno == errno.EFBIG
    assert leftovers(cache) == []


def test_the_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("HIVELLM_HOME", str(tmp_path / "home"))
    assert default_root() == tmp_path / "home"
    monkeypatch.delenv("HIVELLM_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_root() == tmp_path / "xdg" / "hivellm"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_root().parts[-3:] == ("Library", "Caches", "hivellm")
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert default_root() == tmp_path / "local" / "hivellm"


def test_digests_depend_on_content_alone(tmp_path):
    file = tmp_path / "f"
    file.write_bytes(b"abc")
    assert digest_file(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_of("a", {"x": 1, "y": 2}) == digest_of("a", {"y": 2, "x": 1})
    assert digest_of("a", 1) != digest_of("a", "1")

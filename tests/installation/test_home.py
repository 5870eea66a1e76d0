"""The folder of installed experts: reading, changing, and a registry that is broken."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from hivellm_lite.errors import RegistryError
from hivellm_lite.expert_home import expert_home
from hivellm_lite.installation import registry_file
from hivellm_lite.installation.home import ExpertHome
from hivellm_lite.installation.records import InstallRecord, read_record, write_record
from hivellm_lite.installation.registry import InstalledVersion

from ..support.packages import expert_files, manifest_v2, write_package
from .test_registry import document, entry


@pytest.fixture
def expert_folder() -> ExpertHome:
    """The home of this test."""
    home = ExpertHome()
    home.root.mkdir(parents=True)
    return home


def write(home: ExpertHome, value: object) -> bytes:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    home.registry_path.write_bytes(data)
    return data


def add(home: ExpertHome, name: str, version: str) -> None:
    with home.changing() as change:
        change.registry = change.registry.with_version(name, entry(version))


def one_at(path: Path, name: str = "a") -> InstalledVersion:
    return InstalledVersion(name, "1", path, "source", "base", "", {})


def test_the_home_is_hivellms_unless_a_variable_names_another(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/somewhere")
    monkeypatch.setenv("USERPROFILE", "/somewhere")
    monkeypatch.delenv("HIVELLM_EXPERTS")
    assert expert_home() == Path("/somewhere/.expert").absolute()
    monkeypatch.setenv("HIVELLM_EXPERTS", "/elsewhere")
    assert ExpertHome().registry_path == Path(os.path.realpath("/elsewhere/expert-registry.json"))


def test_reading_touches_nothing(tmp_path: Path):
    home = ExpertHome(tmp_path / "none")
    assert home.read().versions() == ()
    assert not home.root.exists()


def test_a_change_is_written_whole_and_only_if_there_is_one(expert_folder: ExpertHome):
    home = expert_folder
    add(home, "expert-sql", "0.3.0")
    before = home.registry_path.read_bytes()
    with home.changing():
        pass
    assert home.registry_path.read_bytes() == before

    def change_and_fail() -> None:
        with home.changing() as change:
            change.registry = change.registry.without_version("expert-sql", "0.3.0")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_fail()
    assert home.registry_path.read_bytes() == before
    names = {path.name for path in home.root.iterdir()}
    assert names == {"expert-registry.json", "expert-registry.json.lock"}


def test_the_file_that_a_link_points_to_is_changed(expert_folder: ExpertHome, tmp_path: Path):
    real = tmp_path / "dotfiles.json"
    real.write_bytes(json.dumps(document()).encode())
    link = expert_folder.root / "expert-registry.json"
    link.symlink_to(real)
    add(expert_folder, "expert-sql", "0.3.0")
    assert link.is_symlink()
    assert "expert-sql" in real.read_text("utf-8")


def test_a_broken_registry_is_reported_kept_aside_and_made_anew(
    expert_folder: ExpertHome, caplog: pytest.LogCaptureFixture
):
    home = expert_folder
    found = home.root / "experts" / "expert-tiny" / "0.3.0"
    found.mkdir(parents=True)
    (found / "manifest.json").write_bytes(expert_files()["manifest.json"])
    write_record(found, InstallRecord("owner/tiny", "0" * 64))
    (home.root / "experts" / "not-one").mkdir()
    older = home.root / "experts" / "expert-older"  # as older tools did
    older.mkdir()
    (older / "manifest.json").write_bytes(expert_files(manifest_v2(name="older"))["manifest.json"])
    broken = write(home, b'{"version": "1.0", "experts": [')
    registry = home.read()
    assert "expert-registry.json: line 1" in caplog.text
    assert [(one.identity, one.source) for one in registry.versions()] == [
        ("expert-tiny@0.3.0", "owner/tiny"),
        ("older@0.3.0", str(older)),
    ]
    assert home.registry_path.read_bytes() == broken, "reading changes nothing"

    add(home, "expert-sql", "1.0.0")
    assert (home.root / "expert-registry.broken-1.json").read_bytes() == broken
    assert [one.name for one in home.read().versions()] == ["expert-sql", "expert-tiny", "older"]
    again = write(home, b"\0")
    add(home, "expert-new", "1.0.0")
    assert (home.root / "expert-registry.broken-2.json").read_bytes() == again
    assert (home.root / "expert-registry.broken-1.json").read_bytes() == broken


def test_a_registry_that_is_being_written_is_read_again(
    expert_folder: ExpertHome, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """HiveLLM's tool writes its registry in place."""
    whole = json.dumps(document({"name": "expert-sql", "versions": [entry("0.3.0")]})).encode()
    write(expert_folder, whole[:40])
    waits = []

    def another_tool_goes_on(seconds: float) -> None:
        waits.append(seconds)
        write(expert_folder, whole[: 80 * len(waits)] if len(waits) < 3 else whole)

    monkeypatch.setattr(registry_file.time, "sleep", another_tool_goes_on)
    assert [one.name for one in expert_folder.read().versions()] == ["expert-sql"]
    assert len(waits) == 3
    assert not caplog.text


def test_a_registry_that_cannot_be_read_is_an_error_and_stays(expert_folder: ExpertHome):
    expert_folder.registry_path.mkdir()
    with pytest.raises(RegistryError, match=r"expert-registry\.json"):
        expert_folder.read()
    with pytest.raises(RegistryError, match="HIVELLM_EXPERTS"):
        add(expert_folder, "x", "1")
    assert expert_folder.registry_path.is_dir()


def test_a_home_that_cannot_be_made_is_an_error(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    home = ExpertHome(tmp_path / "file" / "home")
    assert home.read().versions() == ()
    with pytest.raises(RegistryError, match="cannot use"):
        add(home, "x", "1")
    with pytest.raises(RegistryError, match="cannot use"), home.workplace(home.read()):
        pass


def test_changes_of_many_threads_all_arrive(expert_folder: ExpertHome):
    threads = [
        threading.Thread(target=add, args=(ExpertHome(), f"expert-{n}", "1.0")) for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(expert_folder.read().versions()) == 16


def test_a_lock_that_is_held_is_an_error_after_a_while(
    expert_folder: ExpertHome, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(registry_file, "LOCK_TIMEOUT_S", 0.05)
    with expert_folder.changing(), pytest.raises(RegistryError, match="another process"):
        add(ExpertHome(), "x", "1")
    assert "waiting for another process" in caplog.text


def test_what_killed_processes_left_goes_and_what_others_work_on_stays(expert_folder: ExpertHome):
    home = expert_folder
    registry = home.read()
    folder = home.folder(registry)
    with home.workplace(registry) as mine:
        (mine / "half").write_bytes(b"x")
        dead = folder / ".installing-dead"
        (dead / "deep").mkdir(parents=True)
        (folder / ".installing-dead.lock").write_bytes(b"")
        (folder / ".removed-1").mkdir()
        whole = folder / "expert-lost" / "1.0"
        whole.mkdir(parents=True)
        home.remove_leftovers(registry)
        assert (mine / "half").exists()
        left = {path.name for path in folder.iterdir()}
        assert left == {mine.name, f"{mine.name}.lock", "expert-lost"}
    assert {path.name for path in folder.iterdir()} == {"expert-lost"}


def test_only_files_below_the_folder_of_experts_are_ever_removed(
    expert_folder: ExpertHome, tmp_path: Path
):
    home = expert_folder
    folder = home.root / "experts"
    outside = tmp_path / "mine"
    for path in (outside, folder / "a" / "1"):
        path.mkdir(parents=True)
    (folder / "a" / "link").symlink_to(outside)
    for path in (outside, folder / "a" / "1"):
        (path / "manifest.json").write_bytes(b"{}")
    for path in (outside, folder, home.root, folder / "..", folder / "a" / "link", Path("/")):
        home.forget_files(one_at(path), folder)
    home.forget_files(one_at(folder / "a" / "1", name="another"), folder)
    home.forget_files(one_at(outside), tmp_path)  # a registry whose install_dir is too large
    assert (outside / "manifest.json").is_file()
    assert (folder / "a" / "1").is_dir()
    home.forget_files(one_at(folder / "a" / "1"), folder)
    assert not (folder / "a" / "1").exists()
    assert not any(path.name.startswith(".removed") for path in folder.rglob("*"))


def test_a_folder_that_another_expert_uses_stays(expert_folder: ExpertHome, tmp_path: Path):
    home = expert_folder
    used = home.root / "experts" / "a" / "1"
    used.mkdir(parents=True)
    with home.changing() as change:
        change.registry = change.registry.with_version("a", entry("1", path=str(used)))
    (used.parent / "manifest.json").write_bytes(b"{}")
    home.forget_files(one_at(used.parent), home.root / "experts")
    assert used.is_dir()
    through = tmp_path / "link"
    through.symlink_to(home.root)
    with home.changing() as change:
        path = str(through / "experts" / "a" / "1")
        change.registry = change.registry.with_version("a", entry("1", path=path))
    home.forget_files(one_at(used.parent), home.root / "experts")
    assert used.is_dir()


@pytest.mark.parametrize(
    "text", ["", "7", "{}", '{"source": 1, "files": ""}', '{"source": "x", "files": "zz"}', "\0"]
)
def test_a_damaged_record_counts_as_none(tmp_path: Path, text: str):
    write_record(tmp_path / "1.0", InstallRecord("x", "a" * 64, base="o/r@1"))
    assert read_record(tmp_path / "1.0") == InstallRecord("x", "a" * 64, base="o/r@1")
    (tmp_path / "1.0.install.json").write_text(text)
    assert read_record(tmp_path / "1.0") is None
    assert read_record(tmp_path / "2.0") is None


def test_the_manifests_of_the_recovered_are_strangers(expert_folder: ExpertHome):
    for number, name in enumerate(("../../up", "ok")):
        folder = expert_folder.root / "experts" / str(number) / "1"
        write_package(folder, expert_files(manifest_v2(name=name)))
    write(expert_folder, b"{")
    assert [one.name for one in expert_folder.read().versions()] == ["ok"]

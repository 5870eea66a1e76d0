"""Registries that a stranger, another tool or an accident wrote: nothing outside is touched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hivellm_lite.cli.main import cli
from hivellm_lite.errors import PackageError, RegistryError
from hivellm_lite.installation.files import MAX_NAME_BYTES, folder_size
from hivellm_lite.installation.home import ExpertHome
from hivellm_lite.installation.installing import install, update
from hivellm_lite.installation.records import InstallRecord, write_record
from hivellm_lite.installation.removal import uninstall
from hivellm_lite.installation.wanted import Checks, Wanted
from hivellm_lite.sources.settings import Settings

from ..support.packages import expert_files, manifest_v2, write_package
from .test_registry import assert_rust_reads, document, entry

SETTINGS = Settings(indexes=(), requires_url="file:///nowhere/{name}.expert")


@pytest.fixture
def expert_folder() -> ExpertHome:
    """The home of this test."""
    home = ExpertHome()
    (home.root / "experts").mkdir(parents=True)
    return home


@pytest.fixture
def precious(tmp_path: Path) -> Iterator[Path]:
    """A folder of the user that looks like an expert; nothing in it may change."""
    folder = tmp_path / "mine" / "expert-a"
    unpacked(folder / "1.0.0", name="expert-a", version="1.0.0")
    (folder / "current.txt").write_text("precious")
    yield folder
    assert (folder / "current.txt").read_text() == "precious"
    assert (folder / "1.0.0" / "manifest.json").is_file()
    assert {path.name for path in folder.iterdir()} == {"1.0.0", "current.txt"}


def unpacked(place: Path, **manifest: Any) -> None:
    """An expert as it is installed, in a folder whose name has dots."""
    write_package(place.parent / "new", expert_files(manifest_v2(**manifest))).rename(place)


def put(*sources: object, **wanted: Any) -> None:
    wants = [Wanted(str(source), **wanted) for source in sources]
    install(ExpertHome(), wants, SETTINGS, checks=Checks())


def write(expert_folder: ExpertHome, *experts: Any, **more: Any) -> None:
    more = {"install_dir": str(expert_folder.root / "experts"), **more}
    expert_folder.registry_path.write_text(json.dumps(document(*experts, **more)))


def record(name: object, path: object, version: str = "1.0.0") -> dict[str, Any]:
    return {"name": name, "versions": [{**entry(version), "path": str(path)}]}


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", ["../../mine/expert-a", "{mine}", "..", "", "a\nb"])
def test_a_name_that_leads_elsewhere_is_kept_and_not_used(
    expert_folder: ExpertHome, precious: Path, tmp_path: Path, name: str
):
    name = name.format(mine=precious)
    write(expert_folder, record(name, tmp_path / "gone"), record("expert-b", tmp_path / "gone"))
    assert [one.name for one in expert_folder.read().versions()] == ["expert-b"]
    with pytest.raises(RegistryError, match="no installed expert"):
        uninstall(expert_folder, name)
    uninstall(expert_folder, "b")
    assert [
        one["name"] for one in json.loads(expert_folder.registry_path.read_text())["experts"]
    ] == [name]


def test_paths_that_mean_no_folder_of_this_machine_are_named_and_kept(expert_folder: ExpertHome):
    paths = ["experts/expert-a/1", "~/.expert/experts/a", "", "/a\0b"]
    write(expert_folder, *(record(f"e{n}", path) for n, path in enumerate(paths)))
    registry = expert_folder.read()
    assert registry.versions() == ()
    assert len(registry.notes) == len(paths)
    assert "absolute path" in registry.notes[0]


def test_uninstalling_removes_only_packages_in_their_own_places(
    expert_folder: ExpertHome, precious: Path, tmp_path: Path
):
    """A linked folder below an ``install_dir`` that is too large; a link in place of a folder."""
    write(expert_folder, record("expert-a", precious / "1.0.0"), install_dir=str(tmp_path))
    uninstall(expert_folder, "a")
    (expert_folder.root / "experts" / "expert-a").symlink_to(precious)
    write(expert_folder, record("expert-a", expert_folder.root / "experts" / "expert-a" / "1.0.0"))
    uninstall(expert_folder, "a")
    assert expert_folder.read().versions() == ()
    photos = expert_folder.root / "experts" / "expert-a-photos" / "1.0.0"
    photos.mkdir(parents=True)
    (photos / "me.jpg").write_bytes(b"x")
    write(expert_folder, record("expert-a-photos", photos))
    uninstall(expert_folder, "expert-a-photos")
    assert (photos / "me.jpg").exists(), "no package"


def test_installing_replaces_only_packages_in_their_own_places(
    expert_folder: ExpertHome, precious: Path, tmp_path: Path
):
    source = write_package(
        tmp_path / "a.expert", expert_files(manifest_v2(name="expert-a", version="1.0.0"))
    )
    link = expert_folder.root / "experts" / "expert-a"
    link.symlink_to(precious)
    with pytest.raises(RegistryError, match="a link to a folder elsewhere"):
        put(source)
    link.unlink()
    # as an older tool put an expert: its files are in NAME, and one of its folders in the way
    (link / "1.0.0").mkdir(parents=True)
    (link / "1.0.0" / "weights").write_bytes(b"x")
    put(source)
    assert (link / "1.0.0" / "weights").exists()
    (one,) = expert_folder.read().versions()
    assert one.path.name.startswith("1.0.0+")
    with pytest.raises(PackageError, match="where uninstalling removes"):
        put(one.path, link=True)


def test_one_odd_entry_keeps_nobody_from_seeing_the_others(
    expert_folder: ExpertHome, tmp_path: Path
):
    tree = tmp_path / "tree"
    for name in ("a", "b"):
        (tree / name).mkdir(parents=True)
        (tree / name / "file").write_bytes(b"12345")
    (tree / "a" / "loop").symlink_to(tree)
    assert folder_size(tree) == 10
    assert folder_size(tmp_path / "none") == 0
    endless = "1.0.0-" + "9" * 5000  # an int that Python refuses to read
    write(
        expert_folder,
        record("root", "/"),
        record("long", tree, endless),
        record("ok", tree),
        {"name": 1},
    )
    output = run("list")
    assert "ok" in output
    assert "root" in output
    assert max(map(len, output.splitlines()[2:])) < 400
    assert "linked" in run("show", "root")
    assert "linked to /" in run("update", "root")
    run("uninstall", "root", "long")
    assert [one.name for one in expert_folder.read().versions()] == ["ok"]


def test_a_folder_without_end_has_no_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "x").mkdir()
    for number in range(3):
        (tmp_path / "x" / str(number)).write_bytes(b"1")
    monkeypatch.setattr("hivellm_lite.installation.files.MAX_SIZED", 3)
    assert folder_size(tmp_path) is None


def test_a_record_of_somebody_else_proves_nothing(expert_folder: ExpertHome, tmp_path: Path):
    """One that lies beside a linked folder, or was left where another tool has installed."""
    linked = write_package(tmp_path / "linked", expert_files(manifest_v2(name="expert-l")))
    claim = InstallRecord(str(linked), "0" * 64, key="ed25519:" + "a" * 64, base="o/r@1")
    put(linked, link=True)
    write_record(linked, claim)
    source = write_package(tmp_path / "m.expert", expert_files(manifest_v2(name="expert-m")))
    put(source)
    place = expert_folder.read().versions()[1].path
    write_record(place, claim)
    for name in ("l", "m"):
        facts = json.loads(run("show", name, "--json"))
        assert (facts["signed_by"], facts["locked_base"]) == (None, None), name


def test_a_source_that_was_noted_is_not_looked_for_where_the_program_runs(
    expert_folder: ExpertHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """HiveLLM's tool notes what its user typed; and a folder may be called owner/repo."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    here = tmp_path / "here"
    files = expert_files(manifest_v2(name="expert-a", version="2.0.0"))
    write_package(here / "owner" / "repo", files)
    monkeypatch.chdir(here)
    place = expert_folder.root / "experts" / "expert-a" / "1.0.0"
    unpacked(place, name="expert-a", version="1.0.0")
    for source in ("owner/repo", "./owner/repo", "file://./owner/repo"):
        entries = record("expert-a", place)
        entries["versions"][0]["source"] = source
        write(expert_folder, entries)
        (found,) = update(expert_folder, [], SETTINGS, checks=Checks())
        assert found.kind == "refused", source


def test_a_registry_that_lacks_fields_gets_them(expert_folder: ExpertHome):
    expert_folder.registry_path.write_text('{"experts": [], "install_dir": null, "more": 1}')
    with expert_folder.changing() as change:
        change.registry = change.registry.with_version("expert-sql", entry("1.0.0"))
    value = json.loads(expert_folder.registry_path.read_text())
    assert_rust_reads(value)
    assert value["install_dir"] == str(expert_folder.root / "experts")
    assert value["more"] == 1


@pytest.mark.parametrize(
    ("name", "version"),
    [
        *(("x.expert", "1"), ("-x", "1"), ("~x", "1"), ("con", "1"), ("x.", "1"), ("a:b", "1")),
        *(("a", "current.txt"), ("a", "é" * (MAX_NAME_BYTES // 2 + 1)), ("😀" * 100, "1")),
    ],
)
def test_what_could_not_be_named_afterwards_is_not_installed(
    tmp_path: Path, name: str, version: str
):
    source = write_package(
        tmp_path / "x.expert", expert_files(manifest_v2(name=name, version=version))
    )
    with pytest.raises(PackageError, match="can be loaded from its file"):
        put(source)


def test_the_longest_name_and_version_can_be_installed(expert_folder: ExpertHome, tmp_path: Path):
    manifest = manifest_v2(name="é" * (MAX_NAME_BYTES // 2), version="1" * 128)
    put(write_package(tmp_path / "x.expert", expert_files(manifest)))
    (one,) = expert_folder.read().versions()
    assert (one.path / "manifest.json").is_file()
    manifest["description"] = "other bytes"
    put(write_package(tmp_path / "y.expert", expert_files(manifest)))
    (again,) = expert_folder.read().versions()
    assert again.path != one.path
    assert not one.path.exists()


def test_several_are_uninstalled_together_or_none(expert_folder: ExpertHome, tmp_path: Path):
    needs = manifest_v2(name="expert-b", constraints={"requires": ["expert-a"]})
    put(write_package(tmp_path / "a", expert_files(manifest_v2(name="expert-a"))))
    put(write_package(tmp_path / "b", expert_files(needs)))
    with pytest.raises(RegistryError, match="no installed expert"):
        uninstall(expert_folder, "b", "nobody")
    assert len(expert_folder.read().versions()) == 2
    assert len(uninstall(expert_folder, "a", "b", "a")) == 2
    assert os.listdir(expert_folder.root / "experts") == []  # noqa: PTH208

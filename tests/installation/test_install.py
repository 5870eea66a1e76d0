"""Installing, uninstalling and updating, from files and folders of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hivellm_lite import Cache, open_package
from hivellm_lite.errors import ExpertError, PackageError, RegistryError, SignatureError
from hivellm_lite.installation.files import files_digest
from hivellm_lite.installation.home import ExpertHome
from hivellm_lite.installation.installing import install, update, wanted_of_text
from hivellm_lite.installation.lock_file import parse_lock, write_lock
from hivellm_lite.installation.locking import lock_experts, wanted_of
from hivellm_lite.installation.names import find_installed, installed_folder, locked_base
from hivellm_lite.installation.placing import Outcome
from hivellm_lite.installation.records import read_record
from hivellm_lite.installation.removal import uninstall
from hivellm_lite.installation.wanted import Checks, Wanted
from hivellm_lite.packaging.signing import sign_package
from hivellm_lite.signing.keys import make_key_files, read_private_key
from hivellm_lite.signing.trusted import add_trusted
from hivellm_lite.sources.settings import Settings

from ..support.packages import expert_files, manifest_v2, write_package
from ..support.systems import needs_posix

NO_INDEX = Settings(indexes=(), requires_url="file:///nowhere/{name}.expert")


def package(path: Path, name: str = "expert-a", version: str = "1.0.0", **manifest: Any) -> Path:
    """Write a package of one byte more for every longer version."""
    files = expert_files(manifest_v2(name=name, version=version, **manifest))
    files["README.md"] = version.encode()
    return write_package(path, files)


def put(*sources: object, settings: Settings = NO_INDEX, **wanted: Any) -> tuple[Outcome, ...]:
    requires = wanted.pop("requires", True)
    return install(
        ExpertHome(),
        [Wanted(str(source), **wanted) for source in sources],
        settings,
        checks=Checks(),
        requires=requires,
    )


def renew(*names: str, **options: Any) -> list[tuple[str, str, str]]:
    updates = update(ExpertHome(), names, NO_INDEX, checks=Checks(), **options)
    return [(one.installed.name, one.kind, one.to) for one in updates]


def installed() -> list[str]:
    return [one.identity for one in ExpertHome().read().versions()]


def assert_whole() -> None:
    """Everything that the registry names is there, with the bytes that were recorded."""
    home = ExpertHome()
    for one in home.read().versions():
        record = read_record(one.path)
        assert record is not None, one
        assert files_digest(one.path) == record.files, one


def test_an_archive_is_installed_where_hivellm_looks_for_it(tmp_path: Path):
    source = package(tmp_path / "a.expert")
    (outcome,) = put(source)
    home = ExpertHome()
    assert (outcome.identity, outcome.change) == ("expert-a@1.0.0", "installed")
    assert outcome.path == home.root / "experts" / "expert-a" / "1.0.0"
    assert (outcome.path / "manifest.json").is_file()
    assert (outcome.path.parent / "current.txt").read_text() == "1.0.0"
    assert_whole()
    registry = json.loads(home.registry_path.read_bytes())
    (entry,) = registry["experts"][0]["versions"]
    assert entry["path"] == str(outcome.path)
    assert entry["base_model"] == "tiny-base"
    assert not [path for path in (home.root / "experts").iterdir() if path.name[0] == "."]


@needs_posix("named pipes")
def test_a_folder_is_copied_without_what_is_not_of_the_package(tmp_path: Path):
    folder = package(tmp_path / "a")
    (folder / ".git").mkdir()
    for name in (".git/config", "training_args.bin", "run.sh", "model.gguf", ".DS_Store"):
        (folder / name).write_bytes(b"x")
    (folder / "tests").mkdir()
    (folder / "tests" / "one.json").write_bytes(b"{}")
    (folder / "LICENSE").symlink_to("README.md")
    os.mkfifo(folder / "pipe")
    (outcome,) = put(folder)
    names = {p.relative_to(outcome.path).as_posix() for p in outcome.path.rglob("*")}
    assert names == {
        *("manifest.json", "adapter_config.json", "adapter_model.safetensors", "README.md"),
        *("LICENSE", "tests", "tests/one.json"),
    }
    assert not (outcome.path / "LICENSE").is_symlink()
    (folder / "README.md").write_bytes(b"changed")
    assert_whole()


def test_a_link_that_leads_out_of_a_folder_is_refused(tmp_path: Path):
    folder = package(tmp_path / "a")
    (tmp_path / "secret").write_bytes(b"key")
    (folder / "notes.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(PackageError, match="leads out"):
        put(folder)
    assert installed() == []


def test_a_linked_folder_stays_where_it_is_and_survives_uninstalling(tmp_path: Path):
    folder = package(tmp_path / "a")
    (outcome,) = put(folder, link=True)
    assert (outcome.change, outcome.path) == ("linked", folder)
    assert installed_folder("a") == folder
    assert {path.name for path in tmp_path.iterdir()} == {"a", "experts"}, (
        "nothing is written beside it"
    )
    assert renew() == [("expert-a", "linked", "1.0.0")]
    with pytest.raises(RegistryError, match="is linked"):
        lock_experts(ExpertHome(), (), beside=tmp_path, pin_base=lambda _: None)
    uninstall(ExpertHome(), "a")
    assert (folder / "manifest.json").is_file()
    assert installed() == []
    with pytest.raises(PackageError, match="Only a folder"):
        put(package(tmp_path / "b.expert"), link=True)


def test_a_link_is_replaced_by_a_copy_and_back(tmp_path: Path):
    folder = package(tmp_path / "a")
    put(folder, link=True)
    (copied,) = put(folder)
    assert copied.change == "replaced"
    assert copied.path != folder
    (linked,) = put(folder, link=True)
    assert linked.path == folder
    assert not copied.path.exists()
    assert (folder / "manifest.json").is_file()


def test_the_same_bytes_again_change_nothing_and_others_replace_them(tmp_path: Path):
    source = package(tmp_path / "a.expert")
    put(source)
    (again,) = put(source)
    assert again.change == "unchanged"
    write_package(source, {**expert_files(manifest_v2(name="expert-a", version="1.0.0"))})
    (other,) = put(source)
    assert other.change == "replaced"
    assert other.path.name.startswith("1.0.0+"), "the old files stay until the registry changed"
    assert installed() == ["expert-a@1.0.0"]
    assert_whole()
    package(source)
    (back,) = put(source)
    assert back.path.name == "1.0.0"
    assert {p.name for p in back.path.parent.iterdir()} == {
        *("1.0.0", "1.0.0.install.json", "current.txt")
    }


def test_what_was_damaged_or_removed_is_installed_again(tmp_path: Path):
    source = package(tmp_path / "a.expert")
    (first,) = put(source)
    (first.path / "README.md").write_bytes(b"damaged")
    assert put(source)[0].change == "replaced"
    assert_whole()
    path = find_installed("a").path
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
    put(source)
    assert_whole()


def test_several_versions_stand_beside_each_other(tmp_path: Path):
    for version in ("0.9.0", "0.10.0", "1.0.0-rc.1"):
        put(package(tmp_path / f"{version}.expert", version=version))
    assert installed_folder("a") == ExpertHome().root / "experts" / "expert-a" / "0.10.0"
    assert (installed_folder("a@<0.10") or tmp_path).name == "0.9.0"
    current = ExpertHome().root / "experts" / "expert-a" / "current.txt"
    assert current.read_text() == "1.0.0-rc.1", "the one that was installed last"
    gone = uninstall(ExpertHome(), "a@1.0.0-rc.1")
    assert [one.version for one in gone] == ["1.0.0-rc.1"]
    assert current.read_text() == "0.10.0"
    assert len(uninstall(ExpertHome(), "a")) == 2
    assert not current.parent.exists()


def test_all_are_installed_or_none(tmp_path: Path):
    good = package(tmp_path / "good.expert")
    bad = write_package(tmp_path / "bad.expert", {"manifest.json": b"{}"})
    with pytest.raises(ExpertError):
        put(good, bad)
    assert installed() == []
    assert not list((ExpertHome().root / "experts").iterdir())


@pytest.mark.parametrize(
    ("name", "version"),
    [
        *(("con", "1"), ("a:b", "1"), ("a ", "1"), (".hidden", "1"), ("a", "current.txt")),
        *(("a", "1.install.json"), ("a", "..."), ("a", "1.")),
    ],
)
def test_a_name_that_is_no_folder_everywhere_cannot_be_installed(
    tmp_path: Path, name: str, version: str
):
    source = package(tmp_path / "a.expert", name, version)
    with pytest.raises(ExpertError) as error:
        put(source)
    assert "folder" in str(error.value) or "printable" in str(error.value)
    assert installed() == []


def test_names_that_differ_only_in_case_are_refused(tmp_path: Path):
    put(package(tmp_path / "a.expert"))
    for name, version in (("Expert-A", "1.0.0"), ("Expert-A", "2.0.0")):
        with pytest.raises(RegistryError, match="differ only in case"):
            put(package(tmp_path / "b.expert", name, version))
    assert_whole()


def test_what_is_asked_for_must_be_what_comes(tmp_path: Path):
    source = package(tmp_path / "a.expert")
    for wanted in (
        {"name": "expert-b"},
        {"version": "2.0.0"},
        {"sha256": "0" * 64},
        {"files": "0" * 64},
    ):
        with pytest.raises(PackageError, match="not the package that was asked for"):
            put(source, **wanted)
    assert installed() == []


def test_required_experts_come_along_from_where_the_settings_say(tmp_path: Path):
    for name, needs in (("expert-b", ["expert-c@>=1"]), ("expert-c", ["expert-a"])):
        package(tmp_path / f"{name}.expert", name, constraints={"requires": needs})
    source = package(tmp_path / "a.expert", constraints={"requires": ["expert-b"]})
    settings = Settings(indexes=(), requires_url=f"file://{tmp_path}/{{name}}.expert")
    outcomes = put(source, settings=settings)
    assert [one.name for one in outcomes] == ["expert-c", "expert-b", "expert-a"]
    with pytest.raises(RegistryError, match=r"expert-b@1\.0\.0 needs it"):
        uninstall(ExpertHome(), "expert-c")
    uninstall(ExpertHome(), "expert-c", force=True)


def test_what_is_required_and_cannot_be_had_is_listed_with_its_reason(tmp_path: Path):
    package(tmp_path / "expert-old.expert", "expert-old", "0.5")
    package(tmp_path / "expert-x.expert", "somebody-else")
    needs = ["expert-old@>=1", "expert-x", "missing", "bad/name", "$(reboot)"]
    source = package(tmp_path / "a.expert", constraints={"requires": needs})
    settings = Settings(indexes=(), requires_url=f"file://{tmp_path}/{{name}}.expert")
    with pytest.raises(PackageError, match="nothing was installed") as error:
        put(source, settings=settings)
    text = str(error.value)
    assert "requires expert-old@>=1: expert-old@0.5 was found instead" in text
    assert "requires expert-x: somebody-else@1.0.0 was found instead" in text
    assert "requires missing: " in text
    assert "requires bad/name: 'bad/name' cannot be the name of a repository" in text
    assert "requires $(reboot): " in text
    assert installed() == []
    put(source, settings=settings, requires=False)
    assert installed() == ["expert-a@1.0.0"]


def test_a_thousand_requirements_are_not_all_tried(tmp_path: Path):
    needs = [f"expert-{n}" for n in range(1000)]
    source = package(tmp_path / "a.expert", constraints={"requires": needs})
    with pytest.raises(PackageError, match="others were tried"):
        put(source)


def test_a_name_that_no_index_has_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(PackageError, match="no index has an expert of this name"):
        wanted_of_text("expert-a", NO_INDEX, offline=True)
    monkeypatch.chdir(tmp_path)
    package(tmp_path / "expert-a")
    assert wanted_of_text("expert-a", NO_INDEX, offline=True) == Wanted("expert-a")


# --- updates -------------------------------------------------------------------------


def test_an_update_takes_the_place_of_the_version_before(tmp_path: Path):
    source = package(tmp_path / "a.expert")
    put(source)
    assert renew() == [("expert-a", "current", "1.0.0")]
    package(source, version="1.1.0")
    assert renew(dry_run=True) == [("expert-a", "newer", "1.1.0")]
    assert installed() == ["expert-a@1.0.0"]
    assert renew("a") == [("expert-a", "newer", "1.1.0")]
    assert installed() == ["expert-a@1.1.0"]
    assert_whole()


def test_an_update_keeps_a_version_that_another_expert_needs(tmp_path: Path):
    source = package(tmp_path / "a.expert")
    needing = package(tmp_path / "b.expert", "expert-b", constraints={"requires": ["expert-a@<2"]})
    put(source, needing)
    package(source, version="2.0.0")
    renew("a")
    assert installed() == ["expert-a@2.0.0", "expert-a@1.0.0", "expert-b@1.0.0"]


def test_an_older_version_another_expert_and_a_lost_source_are_no_updates(tmp_path: Path):
    source = package(tmp_path / "a.expert", version="2.0.0")
    other = package(tmp_path / "b.expert", "expert-b")
    put(source, other)
    package(source, version="1.0.0")
    package(other, "expert-c")
    assert [kind for _, kind, _ in renew()] == ["refused", "refused"]
    source.unlink()
    (one,) = update(ExpertHome(), ["a"], NO_INDEX, checks=Checks())
    assert one.kind == "refused"
    assert "a.expert" in one.reason
    assert installed() == ["expert-a@2.0.0", "expert-b@1.0.0"]
    package(source, version="1.0.0")
    assert renew("a", force=True) == [("expert-a", "newer", "1.0.0")]
    with pytest.raises(RegistryError, match="no installed expert"):
        renew("nobody")


# --- locks ---------------------------------------------------------------------------


def lock(tmp_path: Path, *names: str) -> bytes:
    experts = lock_experts(
        ExpertHome(), names, beside=tmp_path, pin_base=lambda one: f"o/{one.base_model}@1"
    )
    return write_lock(experts).encode()


def put_locked(tmp_path: Path, data: bytes) -> tuple[Outcome, ...]:
    wanted = wanted_of(parse_lock(data, source="team.toml"), beside=tmp_path)
    return install(ExpertHome(), wanted, NO_INDEX, checks=Checks(), requires=False)


def test_a_lock_file_brings_the_same_bytes_to_another_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    source, folder = package(tmp_path / "a.expert"), package(tmp_path / "b", "expert-b")
    before = {one.identity: files_digest(one.path) for one in put(source, folder)}
    data = lock(tmp_path)
    assert b'source = "./a.expert"' in data
    monkeypatch.setenv("HIVELLM_EXPERTS", str(tmp_path / "other"))
    after = {one.identity: files_digest(one.path) for one in put_locked(tmp_path, data)}
    assert after == before
    assert locked_base(find_installed("a").path) == "o/tiny-base@1"
    assert lock(tmp_path) == data
    put(source)
    assert locked_base(find_installed("a").path) == "o/tiny-base@1", "the same bytes keep it"

    package(source, version="1.0.1")
    with pytest.raises(PackageError, match="its version differs"):
        put_locked(tmp_path, data)
    write_package(source, expert_files(manifest_v2(name="expert-a", version="1.0.0")))
    with pytest.raises(PackageError, match="SHA-256 of the archive differs"):
        put_locked(tmp_path, data)
    (folder / "README.md").write_bytes(b"changed")
    with pytest.raises(PackageError, match="digest of the files differs"):
        put_locked(tmp_path, data.split(b"\n\n")[0] + b"\n\n" + data.split(b"\n\n")[2])


def test_what_was_changed_after_it_was_installed_cannot_be_locked(tmp_path: Path):
    (outcome,) = put(package(tmp_path / "a.expert"))
    (outcome.path / "README.md").write_bytes(b"mine")
    with pytest.raises(RegistryError, match="was changed after it was installed"):
        lock(tmp_path)
    with pytest.raises(RegistryError, match="no installed expert"):
        lock(tmp_path, "nobody")


def test_what_another_tool_installed_cannot_be_locked_but_used_and_updated(tmp_path: Path):
    source = package(tmp_path / "a.expert")
    (outcome,) = put(source)
    outcome.path.with_name("1.0.0.install.json").unlink()
    with pytest.raises(RegistryError, match="installed by another tool"):
        lock(tmp_path)
    assert installed_folder("a") == outcome.path
    package(source, version="1.1.0")
    assert renew() == [("expert-a", "newer", "1.1.0")]
    assert lock(tmp_path)


def test_a_record_elsewhere_names_no_base(tmp_path: Path):
    (outcome,) = put(package(tmp_path / "a.expert"), base="o/r@1")
    assert locked_base(outcome.path) == "o/r@1"
    stranger = tmp_path / "1.0.0"
    stranger.mkdir()
    record = outcome.path.with_name("1.0.0.install.json")
    (tmp_path / record.name).write_bytes(record.read_bytes())
    assert locked_base(stranger) is None


# --- kills and races -----------------------------------------------------------------


def in_child(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked child; the child's exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate"}


def killed_at(event: int, work: Callable[[], object]) -> int:
    """Run ``work`` in a child that is killed (SIGKILL) at its ``event``-th call that may touch the
    disk; 0 if it has fewer.
    """

    def run() -> None:
        left = event

        def count(name: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if name in EVENTS and not str(arguments[0]).endswith((".py", ".pyc", ".so")):
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()

    return in_child(run)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked child")
def test_killed_at_any_moment_the_registry_and_all_that_it_names_are_whole(tmp_path: Path):
    source = package(tmp_path / "a.expert")
    put(package(tmp_path / "b.expert", "expert-b"))
    home = ExpertHome()
    moments = 0
    stages: list[tuple[str, Callable[[], object], str]] = [
        ("1.0.0", lambda: put(source), "expert-a@1.0.0"),
        ("1.1.0", lambda: renew("a"), "expert-a@1.1.0"),
        ("1.1.0", lambda: uninstall(home, "a"), ""),
    ]
    for version, work, result in stages:
        package(source, version=version)
        before, after = installed(), [one for one in (result, "expert-b@1.0.0") if one]
        shutil.copytree(home.root, tmp_path / "before")
        event = 1
        while (code := killed_at(event, work)) != 0:
            assert code == -signal.SIGKILL
            assert_whole()
            assert set(installed()) in [set(before), set(after), {*before, *after}], event
            if installed() != after:
                work()  # what was killed is done again, and finds nothing in its way
            assert installed() == after, event
            assert_whole()
            shutil.rmtree(home.root)
            shutil.copytree(tmp_path / "before", home.root)
            moments += 1
            event += 4
        assert installed() == after
        shutil.rmtree(tmp_path / "before")
    assert moments >= 50
    put(tmp_path / "b.expert")
    assert {path.name for path in (home.root / "experts").iterdir()} == {"expert-b"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits a forked child")
def test_a_full_disk_is_an_error_and_changes_nothing(tmp_path: Path):
    import resource

    put(package(tmp_path / "b.expert", "expert-b"))
    before = ExpertHome().registry_path.read_bytes()
    files = expert_files(manifest_v2(name="expert-a", version="1.0.0"))
    folder = write_package(tmp_path / "a", {**files, "LICENSE": b"x" * 200_000})

    def install_with_little_room() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(RegistryError, match="is full"):
            put(folder)

    assert in_child(install_with_little_room) == 0
    assert ExpertHome().registry_path.read_bytes() == before
    assert {path.name for path in (ExpertHome().root / "experts").iterdir()} == {"expert-b"}
    assert_whole()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="works in forked children")
def test_processes_that_install_the_same_expert_do_not_disturb_each_other(tmp_path: Path):
    source = package(tmp_path / "a.expert")
    children = []
    for _ in range(4):
        if (pid := os.fork()) == 0:
            try:
                for _ in range(3):
                    put(source)
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert codes == [0] * 4
    assert installed() == ["expert-a@1.0.0"]
    assert_whole()
    parent = find_installed("a").path.parent
    assert {path.name for path in parent.iterdir()} == {
        *("1.0.0", "1.0.0.install.json", "current.txt")
    }


# --- signatures ----------------------------------------------------------------------


def signed(path: Path, key: Path, **facts: Any) -> Path:
    sign_package(package(path, **facts), read_private_key(key), verify=False)
    return path


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """Two private keys; only the first is trusted."""
    pytest.importorskip("cryptography", reason="signs packages")
    ann, eve = tmp_path / "ann.key", tmp_path / "eve.key"
    add_trusted(make_key_files(ann), "ann")
    make_key_files(eve)
    return ann, eve


def test_a_signature_is_demanded_remembered_and_demanded_of_updates(
    tmp_path: Path, keys: tuple[Path, Path]
):
    ann, eve = keys
    source = package(tmp_path / "a.expert")
    required = Checks(signatures="require")

    def put_required() -> tuple[Outcome, ...]:
        return install(ExpertHome(), [Wanted(str(source))], NO_INDEX, checks=required)

    with pytest.raises(SignatureError, match="not signed"):
        put_required()
    signed(source, eve)
    with pytest.raises(SignatureError, match="not trusted"):
        put_required()
    signed(source, ann)
    (outcome,) = put_required()
    assert outcome.signature.trusted_as == "ann"
    opened = open_package(outcome.path, cache=Cache(), signatures="require")
    assert opened.signature.trusted_as == "ann"
    assert b'key = "ed25519:' in lock(tmp_path)

    for other, says in ((eve, "is signed by ed25519:"), (None, "by nobody")):
        if other is not None:
            signed(source, other, version="1.1.0")
        else:
            package(source, version="1.1.0")
            source.with_name("a.expert.sha256").unlink()
        (one,) = update(ExpertHome(), (), NO_INDEX, checks=Checks())
        assert one.kind == "refused"
        assert says in one.reason
    assert installed() == ["expert-a@1.0.0"]
    signed(source, ann, version="1.1.0")
    assert renew() == [("expert-a", "newer", "1.1.0")]
    folder = find_installed("a").path
    (folder / "README.md").write_bytes(b"changed")
    with pytest.raises(SignatureError, match="README"):
        open_package(folder, cache=Cache())


def test_the_signer_of_an_update_is_the_same_also_if_nobody_trusts_them(
    tmp_path: Path, keys: tuple[Path, Path]
):
    ann, eve = keys
    source = signed(tmp_path / "a.expert", eve)
    put(source)
    install(ExpertHome(), [Wanted(str(source))], NO_INDEX, checks=Checks(signatures="ignore"))
    signed(source, ann, version="1.1.0")
    assert renew() == [("expert-a", "refused", "1.1.0")]
    signed(source, eve, version="1.1.0")
    assert renew() == [("expert-a", "newer", "1.1.0")]


def test_a_lock_file_demands_the_key_that_signed(tmp_path: Path, keys: tuple[Path, Path]):
    ann, eve = keys
    source = signed(tmp_path / "a.expert", ann)
    put(source)
    data = lock(tmp_path)
    put_locked(tmp_path, data)
    signed(source, eve)
    wanted = Wanted(str(source), key=parse_lock(data, source="x")[0].key)
    with pytest.raises(PackageError, match="its signing key differs"):
        install(ExpertHome(), [wanted], NO_INDEX, checks=Checks())

"""What signing writes, what it refuses, and what it leaves after an error."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from hivellm_lite.archive.packing import pack
from hivellm_lite.cache import Cache
from hivellm_lite.errors import ManifestError, PackageError, SignatureError
from hivellm_lite.package import open_package
from hivellm_lite.packaging.signing import sign_package

from ..support.packages import manifest_bytes, manifest_v2, write_package
from ..support.signed_packages import (
    KEY,
    MARKER,
    OTHER_KEY,
    OTHER_PUBLIC,
    OWN,
    PUBLIC,
    SIG,
    hivellm_signed,
    members,
    unsigned,
)


@pytest.fixture(autouse=True)
def epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1767225600")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_an_archive_is_replaced_and_its_digest_file_too(tmp_path: Path, cache: Cache) -> None:
    files = {**unsigned(), ".DS_Store": b"", "evil.txt": b"\x7fELF"}
    path = write_package(tmp_path / "p.expert", files)
    result = sign_package(path, KEY, publisher="Ann")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (result.place, result.digest, result.key) == (path, digest, PUBLIC)
    assert (result.signed_at, result.left_out) == ("2026-01-01T00:00:00Z", (".DS_Store",))
    assert names(tmp_path) == {"p.expert", "p.expert.sha256"}
    assert (tmp_path / "p.expert.sha256").read_text() == f"{digest}  p.expert\n"
    written = members(path)
    order = [name for name in written if name != "manifest.json"]
    assert list(written) == ["manifest.json", *sorted(order)]
    assert set(written) == {*files, OWN, MARKER, SIG} - {".DS_Store"}
    # what nobody unpacks is signed and kept as it was
    for name in ("training_args.bin", "evil.txt", "adapter_model.safetensors"):
        assert written[name] == files[name]
    assert open_package(path, cache=cache).signature.state == "signed"


def test_the_same_package_gives_the_same_bytes(tmp_path: Path) -> None:
    """Of an archive, of a folder, and of a package that was signed before, by whomever."""
    results = set()
    for name, files in (
        ("a.expert", unsigned()),
        ("b.zip", dict(reversed(unsigned().items()))),
        ("c", unsigned()),
        ("d.expert", {f"top/{name}": data for name, data in unsigned().items()}),
    ):
        path = write_package(tmp_path / name, files)
        results.add(sign_package(path, KEY, tmp_path / f"out-{name}.expert").digest)
    again = sign_package(tmp_path / "out-c.expert", OTHER_KEY)
    assert again.key == OTHER_PUBLIC
    results.add(sign_package(again.place, KEY).digest)
    assert len(results) == 1


def test_the_manifest_keeps_what_it_had(tmp_path: Path, cache: Cache) -> None:
    """Also what HiveLLM's tool drops, and without the signature that it had."""
    extra = {"limitations": ["é", 1e-05, 12345678901234567890, None], "_comment": {"z": 1, "a": 2}}
    old = hivellm_signed(**extra)
    path = write_package(tmp_path / "p.expert", old)
    sign_package(path, OTHER_KEY, signature_file=False)
    written = members(path)
    assert SIG not in written
    record = json.loads(written["manifest.json"])
    assert record.pop("integrity")["pubkey"] == OTHER_PUBLIC
    before = json.loads(old["manifest.json"])
    del before["integrity"]
    assert list(record.items()) == list(before.items())
    assert "é" in written["manifest.json"].decode()
    assert open_package(path, cache=cache).signature.key == OTHER_PUBLIC


def test_what_cannot_be_signed_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_package(tmp_path / "p.expert", unsigned())
    folder = write_package(tmp_path / "folder", unsigned())
    (tmp_path / "git").mkdir()
    (tmp_path / "git" / ".git").mkdir()
    empty = write_package(tmp_path / "empty.expert", {"x": b""})
    wrong = write_package(tmp_path / "wrong.expert", {"manifest.json": b"{"})
    (tmp_path / "bad.expert.sha256").write_text("00" * 32)
    bad = write_package(tmp_path / "bad.expert", unsigned())
    room = (1 << 20) - len(manifest_bytes(manifest_v2(notes="")))  # for the notes, unsigned
    manifest = manifest_bytes(manifest_v2(notes="x" * room))
    long = write_package(tmp_path / "long.expert", {"manifest.json": manifest})
    zipped = write_package(tmp_path / "p.zip", unsigned())
    before = {place: place.read_bytes() for place in tmp_path.iterdir() if place.is_file()}
    for error, place, output, what in (
        (PackageError, folder, None, "-o NAME.expert"),
        (PackageError, zipped, None, "-o NAME.expert"),
        (PackageError, path, folder, "a folder"),
        (PackageError, path, tmp_path / "gone" / "x.expert", "gone: no such folder"),
        (PackageError, tmp_path / "git", tmp_path / "x.expert", "working tree of git"),
        (PackageError, tmp_path / "gone", None, "no such file or folder"),
        (PackageError, empty, None, "no manifest.json"),
        (PackageError, bad, None, "--no-verify"),
        (ManifestError, wrong, None, "wrong.expert/manifest.json"),
        (ManifestError, long, None, "with its signature"),
    ):
        with pytest.raises(error, match=what):
            sign_package(place, KEY, output)
    with pytest.raises(SignatureError, match="one line"):
        sign_package(path, KEY, publisher="two\nlines")
    for value in ("soon", "9" * 30):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", value)
        with pytest.raises(SignatureError, match="SOURCE_DATE_EPOCH"):
            sign_package(path, KEY)
    assert {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert sign_package(bad, KEY, verify=False).signed_at.endswith("Z")


def test_a_stop_at_any_moment_leaves_no_digest_file_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the archive is replaced, and after, when its digest file cannot be written."""
    path = write_package(tmp_path / "p.expert", unsigned())
    pack(unsigned(), path)
    sidecar = tmp_path / "p.expert.sha256"
    sidecar.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  p.expert\n")
    real = Path.replace

    def stopped(self: Path, target: Path) -> Path:
        if Path(target) == sidecar:
            raise OSError(28, "no space")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", stopped)
    with pytest.raises(PackageError, match="no space"):
        sign_package(path, KEY)
    assert names(tmp_path) == {"p.expert"}
    assert OWN in members(path)

"""What is accepted, with which report, and that nothing remembers an earlier answer."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hivellm_lite import Expert, ExpertManager
from hivellm_lite.cache import Cache
from hivellm_lite.errors import PackageError, SignatureError
from hivellm_lite.loading.options import LoadSettings
from hivellm_lite.package import open_package
from hivellm_lite.packaging.signing import sign_package
from hivellm_lite.signing.trusted import add_trusted, remove_trusted

from ..support.packages import expert_files, manifest_v2, write_package
from ..support.signed_packages import (
    KEY,
    MARKER,
    OWN,
    PUBLIC,
    SIG,
    edited,
    hivellm_signed,
    members,
    sha256,
    signed,
    unsigned,
)

RAW = bytes.fromhex(PUBLIC.removeprefix("ed25519:"))

RESERVATION = (
    "HiveLLM's signature does not cover manifest.json: anybody could have changed the name, the "
    "version, the base, the defaults and everything else in it"
)


def test_both_signatures_are_what_the_formats_say(tmp_path: Path) -> None:
    """Computed from the bytes of the archive alone, as docs/signing.md tells it."""
    files = members(write_package(tmp_path / "p.expert", signed()))
    key = Ed25519PublicKey.from_public_bytes(RAW)
    shipped = json.loads(files["manifest.json"])

    # HiveLLM's: the manifest counts as it was before `integrity`
    before = {name: value for name, value in shipped.items() if name != "integrity"}
    hashed = {name: sha256(data) for name, data in files.items() if name not in (OWN, SIG)}
    text = json.dumps(before, indent=2, ensure_ascii=False) + "\n"
    hashed["manifest.json"] = sha256(text.encode())
    assert shipped["integrity"]["files"] == hashed
    lines = sorted(f"{name}:{digest}".encode() for name, digest in hashed.items())
    signature = shipped["integrity"]["signature"]
    key.verify(bytes.fromhex(signature), b"\n".join(lines))
    assert files[SIG].decode() == signature
    assert shipped["integrity"]["pubkey"] == PUBLIC
    assert list(shipped)[-1] == "integrity"
    assert before == manifest_v2()

    # our own: every member but its own, as they are
    own = json.loads(files[OWN])
    hashed = {name: sha256(data) for name, data in files.items() if name != OWN}
    head = [
        "hivellm-lite package signature 1",
        f"name:{shipped['name']}",
        f"version:{shipped['version']}",
        f"signed_at:{shipped['integrity']['created_at']}",
    ]
    lines = [line.encode() for line in head]
    lines += sorted(f"{name}:{digest}".encode() for name, digest in hashed.items())
    key.verify(bytes.fromhex(own["signature"]), b"".join(line + b"\n" for line in lines))
    assert own["files"] == hashed
    assert own["public_key"] == PUBLIC
    assert {"training_args.bin", MARKER, SIG, "manifest.json"} <= own["files"].keys()


def test_hivellms_signature_is_accepted_with_one_reservation(tmp_path: Path, cache: Cache) -> None:
    add_trusted(RAW, "me")
    files = hivellm_signed()
    shipped = json.loads(files["manifest.json"])
    assert sha256(files["manifest.json"]) != shipped["integrity"]["files"]["manifest.json"]
    # what the format leaves open, and what the documents allow besides
    changed = edited(files, "manifest.json", lambda record: record.update(description="evil"))
    prefixed = edited(
        files,
        "manifest.json",
        lambda record: record["integrity"].update(
            signature=f"hex:{record['integrity']['signature']}",
            pubkey=RAW.hex(),
            files={n: f"sha256:{d}" for n, d in record["integrity"]["files"].items()},
        ),
    )
    without = {name: data for name, data in files.items() if name != SIG}
    for number, one in enumerate((files, changed, prefixed, without)):
        for suffix in (".expert", ""):
            path = write_package(tmp_path / f"p{number}{suffix}", one)
            opened = open_package(path, cache=cache, signatures="require")
            report = opened.signature
            assert (report.state, report.kinds) == ("signed", ("hivellm",))
            assert (report.key, report.trusted_as) == (PUBLIC, "me")
            assert report.reservations == (RESERVATION,)
            assert opened.notes == ()


def test_our_signature_has_no_reservation(tmp_path: Path, cache: Cache) -> None:
    for number, files in enumerate((signed(), signed(signature_file=False))):
        assert (SIG in files) == (number == 0)
        path = write_package(tmp_path / f"p{number}.expert", files)
        report = open_package(path, cache=cache).signature
        assert report.kinds == ("hivellm", "package")
        assert report.reservations == ()
        assert report.publisher == "Ann"


def test_a_folder_may_lack_what_is_never_unpacked(tmp_path: Path, cache: Cache) -> None:
    prompt = [{"name": "soft", "path": "soft.pt"}]
    path = write_package(
        tmp_path / "p.expert", {**unsigned(soft_prompts=prompt), "soft.pt": b"x", "old.pt": b"x"}
    )
    sign_package(path, KEY)
    for number, (lost, fits) in enumerate(
        (
            ("training_args.bin", True),
            ("old.pt", True),
            ("soft.pt", False),  # it is unpacked, since the manifest lists it
            ("grammar.gbnf", False),
        )
    ):
        files = members(path)
        del files[lost]
        folder = write_package(tmp_path / f"p{number}", files)
        if fits:
            assert open_package(folder, cache=cache).signature.state == "signed"
        else:
            with pytest.raises(SignatureError, match=f'missing, but listed in .*"{lost}"'):
                open_package(folder, cache=cache)
        with pytest.raises(SignatureError, match="missing, but listed"):
            open_package(write_package(tmp_path / f"p{number}.expert", files), cache=cache)


def test_digests_without_a_signature_are_what_they_were(tmp_path: Path, cache: Cache) -> None:
    """Also where the keys of a signature are there, and empty."""
    files = expert_files()
    listed = {"adapter_config.json": sha256(files["adapter_config.json"])}
    for number, more in enumerate(
        ({}, {"signature": None, "pubkey": None}, {"signature": "", "pubkey": PUBLIC})
    ):
        integrity = {"files": listed, **more}
        path = write_package(
            tmp_path / f"p{number}", expert_files(manifest_v2(integrity=integrity))
        )
        opened = open_package(path, cache=cache)
        assert opened.signature.state == "unsigned"
        (path / "adapter_config.json").write_bytes(b"{}")
        with pytest.raises(PackageError, match=r"adapter_config\.json: SHA-256"):
            open_package(path, cache=cache)


def test_no_answer_outlives_a_change_of_trust_or_policy(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive is unpacked once; its signature is verified each time."""
    path = write_package(tmp_path / "p.expert", signed())

    def refused(signatures: str | None) -> str:
        with pytest.raises(SignatureError) as caught:
            open_package(path, cache=cache, signatures=signatures)
        return str(caught.value)

    first = open_package(path, cache=cache)
    assert first.signature.trusted_as is None
    assert f"trust add {PUBLIC}" in refused("require")
    add_trusted(RAW, "me")
    assert open_package(path, cache=cache, signatures="require").signature.trusted_as == "me"
    assert open_package(path, cache=cache).notes == ()
    monkeypatch.setenv("HIVELLM_SIGNATURES", "require")
    assert open_package(path, cache=cache).root == first.root
    remove_trusted("me")
    assert "not trusted" in refused(None)
    assert open_package(path, cache=cache, signatures="check").signature.state == "signed"
    ignored = open_package(path, cache=cache, signatures="ignore")
    assert (ignored.signature.state, ignored.signature.key, ignored.notes) == (
        *("not verified", None),
        (),
    )
    monkeypatch.setenv("HIVELLM_SIGNATURES", "perhaps")
    with pytest.raises(ValueError, match="HIVELLM_SIGNATURES='perhaps': expected one of"):
        open_package(path, cache=cache)
    with pytest.raises(ValueError, match="signatures='never'"):
        LoadSettings.of({"signatures": "never"}, caller="test")


def test_every_way_to_load_can_require_a_signature(tmp_path: Path) -> None:
    path = write_package(tmp_path / "p.expert", unsigned())
    with ExpertManager(signatures="require") as manager:
        for load in (
            lambda: manager.load_expert("x", path),
            lambda: manager.register_expert("x", path),
            lambda: Expert.load(path, signatures="require"),
        ):
            with pytest.raises(SignatureError, match="a signature is required"):
                load()


def test_a_changed_file_in_the_cache_is_noticed(tmp_path: Path, cache: Cache) -> None:
    """Even one whose size and time are as they were: the digests that were signed are compared."""
    path = write_package(tmp_path / "p.expert", signed())
    for name, old, new in (
        ("grammar.gbnf", b"x", b"y"),
        ("manifest.json", b"somebody", b"s0mebody"),
    ):
        place = open_package(path, cache=cache).root / name
        before, data = place.stat(), place.read_bytes()
        place.write_bytes(data.replace(old, new))
        os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
        with pytest.raises(PackageError, match=name):
            open_package(path, cache=cache)
        place.write_bytes(data)


def test_facts_in_the_cache_are_of_this_archive(tmp_path: Path, cache: Cache) -> None:
    """An archive cannot bring the record of its members along, nor be taken for another one."""
    files = {**unsigned(), "entry.json": b'{"digests": {}}'}
    assert open_package(write_package(tmp_path / "p.expert", files), cache=cache)
    path = write_package(tmp_path / "s.expert", signed())
    entry = open_package(path, cache=cache).root.parent
    (found,) = (one for one in cache.entries("packages") if one.path == entry)
    found.record("digest", "00" * 32)
    with pytest.raises(PackageError, match="made from another archive"):
        open_package(path, cache=cache)


def test_without_cryptography(
    tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digests and lists are compared all the same; the signature itself cannot be."""
    add_trusted(RAW, "me")
    path = write_package(tmp_path / "p.expert", signed())
    bad = write_package(tmp_path / "bad.expert", {**signed(), "x.txt": b""})
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    opened = open_package(path, cache=cache)
    assert opened.signature.state == "not verified"
    assert "pip install 'hivellm-lite[signing]'" in opened.notes[0]
    with pytest.raises(SignatureError, match=r"pip install 'hivellm-lite\[signing\]'"):
        open_package(path, cache=cache, signatures="require")
    with pytest.raises(SignatureError, match="not listed"):
        open_package(bad, cache=cache)
    plain = write_package(tmp_path / "plain.expert", unsigned())
    assert open_package(plain, cache=cache).notes == ()


def test_a_signed_folder_holds_plain_files_only(tmp_path: Path, cache: Cache) -> None:
    def folder(name: str) -> Path:
        return write_package(tmp_path / name, signed())

    inside = folder("folder-link")
    (inside / "more").symlink_to("tests")
    outside = folder("file-link")
    (tmp_path / "elsewhere").write_bytes(signed()["README.md"])
    (outside / "README.md").unlink()
    (outside / "README.md").symlink_to(tmp_path / "elsewhere")
    odd = folder("odd-name")
    (odd / "a\nb").write_bytes(b"")
    for place, what in (
        (inside, "a link to a folder"),
        (outside, "a link that leads out"),
        (odd, "control character"),
    ):
        with pytest.raises(PackageError, match=what):
            open_package(place, cache=cache)

"""Forgeries: each is a small change of a signed package, and each is refused.

The first table forges a package that the library signed, the second one that HiveLLM's tool
signed. Every forgery is tried as an archive and as a folder, with "check" and with "require".
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hivellm_lite.cache import Cache
from hivellm_lite.errors import SignatureError
from hivellm_lite.package import open_package
from hivellm_lite.signing.trusted import add_trusted

from ..support.packages import write_package
from ..support.signed_packages import (
    KEY,
    MARKER,
    OTHER_KEY,
    OTHER_PUBLIC,
    OWN,
    PUBLIC,
    SIG,
    Files,
    archive_of,
    edited,
    hivellm_signature,
    hivellm_signed,
    sha256,
    signed,
)

ORDER = 2**252 + 27742317777372353535851937790883648493

Forgery = Callable[[Files], Files]


def without(*names: str) -> Forgery:
    return lambda files: {name: data for name, data in files.items() if name not in names}


def plus(name: str, data: bytes = b"new") -> Forgery:
    return lambda files: {**files, name: data}


def manifest(change: Callable[..., object]) -> Forgery:
    return lambda files: edited(files, "manifest.json", change)


def integrity(change: Callable[..., object]) -> Forgery:
    return manifest(lambda record: change(record["integrity"]))


def own(change: Callable[..., object]) -> Forgery:
    return lambda files: edited(files, OWN, change)


def all_of(*forgeries: Forgery) -> Forgery:
    def forge(files: Files) -> Files:
        for one in forgeries:
            files = one(files)
        return files

    return forge


def flipped(name: str) -> Forgery:
    """The last digit or letter but a few of the member is another one."""

    def forge(files: Files) -> Files:
        data = bytearray(files[name])
        data[len(data) // 2] ^= 1
        return {**files, name: bytes(data)}

    return forge


def renamed(old: str, new: str) -> Forgery:
    return lambda files: {new if name == old else name: data for name, data in files.items()}


def from_another(*names: str, **other: str) -> Forgery:
    """Members of another package that the same key has signed."""
    return lambda files: {**files, **{name: signed(**other)[name] for name in names}}


def exchanged(one: str, two: str) -> Forgery:
    return lambda files: {**files, one: files[two], two: files[one]}


def text_of(name: str, old: str, new: str) -> Forgery:
    def forge(files: Files) -> Files:
        text = files[name].decode()
        assert old in text
        return {**files, name: text.replace(old, new, 1).encode()}

    return forge


def set_to(**fields: object) -> Callable[..., object]:
    return lambda record: record.update(fields)


def restated(files: Files) -> Files:
    """Both signatures keep their values, and all digests are those of a changed file."""
    files = {**files, "README.md": b"changed"}
    digest = {"README.md": sha256(b"changed")}
    files = integrity(lambda record: record["files"].update(digest))(files)
    digest["manifest.json"] = sha256(files["manifest.json"])
    return own(lambda record: record["files"].update(digest))(files)


CHANGED = [
    *("adapter_config.json", "adapter_model.safetensors", "README.md", "grammar.gbnf"),
    *("training_args.bin", "tests/cases.json", SIG, MARKER),
]

OF_OURS: dict[str, Forgery] = {
    **{f"a byte of {name} changed": flipped(name) for name in CHANGED},
    "a letter of the manifest changed": text_of("manifest.json", "somebody", "somebodz"),
    "a space added to the manifest": lambda f: {**f, "manifest.json": f["manifest.json"] + b" "},
    "a digit of the own signature changed": own(lambda record: record.update(signature="0" * 128)),
    "a file added": plus("notes.txt"),
    "a file added in a folder": plus("tests/more.json"),
    "a pickle added": plus("weights.pt"),
    "a program added": plus("run.sh"),
    "litter added": plus(".DS_Store"),
    "litter of another kind added": plus("__MACOSX/._README.md"),
    "a second adapter added": plus("adapter/adapter_model.safetensors"),
    "a file removed": without("grammar.gbnf"),
    "the tests removed": without("tests/cases.json"),
    "signature.sig removed": without(SIG),
    "a file renamed": renamed("README.md", "README.txt"),
    "a file moved": renamed("grammar.gbnf", "tests/grammar.gbnf"),
    "two files exchanged": exchanged("README.md", "grammar.gbnf"),
    "the own signature of another package": from_another(OWN, name="expert-other"),
    "the manifest of another package": from_another("manifest.json", name="expert-other"),
    "all signatures of another package": from_another("manifest.json", OWN, SIG, license="another"),
    "the own signature of an older version": from_another(OWN, version="0.2.0"),
    "another key in integrity": integrity(set_to(pubkey=OTHER_PUBLIC)),
    "another key in the own signature": own(set_to(public_key=OTHER_PUBLIC)),
    "another key in both": all_of(
        integrity(set_to(pubkey=OTHER_PUBLIC)), own(set_to(public_key=OTHER_PUBLIC))
    ),
    "the own signature made by another key": lambda files: {
        **files,
        OWN: signed(OTHER_KEY)[OWN],
    },
    "HiveLLM's signature made by another key": lambda files: {
        **files,
        "manifest.json": signed(OTHER_KEY)["manifest.json"],
        SIG: signed(OTHER_KEY)[SIG],
    },
    "the version downgraded": manifest(set_to(version="0.1.0")),
    "the version downgraded in both": all_of(
        manifest(set_to(version="0.1.0")), own(set_to(version="0.1.0"))
    ),
    "the name changed in both": all_of(manifest(set_to(name="x")), own(set_to(name="x"))),
    "the defaults changed": manifest(lambda r: r["training"]["decoding"].update(temperature=2)),
    "the base changed": manifest(lambda r: r["base_models"][0].update(name="evil")),
    "the publisher changed": integrity(set_to(publisher="Bob")),
    "the time of signing changed": own(set_to(signed_at="2030-01-01T00:00:00Z")),
    "the own signature stripped": without(OWN),
    "the own signature stripped, the manifest changed": all_of(
        without(OWN), manifest(set_to(license="none"))
    ),
    "the own signature and its marker stripped": without(OWN, MARKER),
    "the own signature, its marker and its mention stripped": all_of(
        without(OWN, MARKER), integrity(lambda record: record["files"].pop(MARKER))
    ),
    "only the marker stripped": without(MARKER),
    "HiveLLM's signature stripped": all_of(
        manifest(lambda record: record.pop("integrity")), without(SIG)
    ),
    "only the manifest's part of HiveLLM's signature stripped": manifest(
        lambda record: record.pop("integrity")
    ),
    "all but signature.sig stripped": all_of(
        without(OWN, MARKER), manifest(lambda record: record.pop("integrity"))
    ),
    "digests restated, signatures kept": restated,
    "a file added to the own list": all_of(
        plus("notes.txt"), own(lambda r: r["files"].update({"notes.txt": sha256(b"new")}))
    ),
    "a file removed from both lists": all_of(
        without("README.md"),
        integrity(lambda record: record["files"].pop("README.md")),
        own(lambda record: record["files"].pop("README.md")),
    ),
    "an unknown format": text_of(OWN, "signature 1", "signature 2"),
    "an unknown key of the own signature": own(set_to(note="x")),
    "a missing key of the own signature": own(lambda record: record.pop("signed_at")),
    "a repeated key of the own signature": text_of(
        OWN, '"name":', '"name": "expert-tiny", "name":'
    ),
    "upper-case digits in the own signature": own(
        lambda r: r.update(signature=r["signature"].upper())
    ),
    "half an own signature": own(lambda r: r.update(signature=r["signature"][:64])),
    "an own key without its prefix": own(lambda r: r.update(public_key=r["public_key"][8:])),
    "base64 for hex": own(
        lambda r: r.update(signature=base64.b64encode(bytes.fromhex(r["signature"])).decode())
    ),
    "the own signature lists itself": own(lambda r: r["files"].update({OWN: "00" * 32})),
    "a path that leaves the package": own(lambda r: r["files"].update({"../x": "00" * 32})),
    "a line feed in the own name": own(set_to(name="expert-tiny\nversion:0.3.0")),
    "an empty own signature": lambda files: {**files, OWN: b""},
    "an own signature of 3 MB": lambda files: {**files, OWN: b" " * (3 << 20) + files[OWN]},
}


def high_s(files: Files) -> Files:
    """The same signature with its second half in another form, which RFC 8032 forbids."""
    raw = bytes.fromhex(files[SIG].decode())
    number = int.from_bytes(raw[32:], "little") + ORDER
    text = (raw[:32] + number.to_bytes(32, "little")).hex()
    return all_of(integrity(set_to(signature=text)), plus(SIG, text.encode()))(files)


def small_order(key: str) -> Forgery:
    """A key for which this signature fits any message, if nobody looks at the key."""
    text = (bytes([1]) + bytes(63)).hex()
    return all_of(integrity(set_to(signature=text, pubkey=key)), plus(SIG, text.encode()))


def without_manifest_in_list(files: Files) -> Files:
    record = json.loads(files["manifest.json"])
    digests = record["integrity"]["files"]
    del digests["manifest.json"]
    text = hivellm_signature(KEY, digests)
    return all_of(integrity(set_to(files=digests, signature=text)), plus(SIG, text.encode()))(files)


PUBLIC_HEX = PUBLIC.removeprefix("ed25519:")

OF_HIVELLM: dict[str, Forgery] = {
    **{f"a byte of {name} changed": flipped(name) for name in CHANGED[:6]},
    "a file added": plus("notes.txt"),
    "a pickle added": plus("weights.pt"),
    "litter added": plus("Thumbs.db"),
    "a file removed": without("grammar.gbnf"),
    "a file renamed": renamed("README.md", "LICENSE"),
    "two files exchanged": exchanged("README.md", "grammar.gbnf"),
    "the list extended": all_of(
        plus("notes.txt"), integrity(lambda r: r["files"].update({"notes.txt": sha256(b"new")}))
    ),
    "a file removed, and its line": all_of(
        without("README.md"), integrity(lambda record: record["files"].pop("README.md"))
    ),
    "another digest of the manifest": integrity(
        lambda record: record["files"].update({"manifest.json": "00" * 32})
    ),
    "the manifest not listed": without_manifest_in_list,
    "another key": integrity(set_to(pubkey=OTHER_PUBLIC)),
    "no key": integrity(set_to(pubkey=None)),
    "a prefix twice": integrity(set_to(pubkey=f"ed25519:{PUBLIC}")),
    "two prefixes": integrity(set_to(pubkey=f"hex:{PUBLIC}")),
    "a blank before the key": integrity(set_to(pubkey=f" {PUBLIC}")),
    "a key in upper case": integrity(set_to(pubkey=f"ed25519:{PUBLIC_HEX.upper()}")),
    "a key with a digit more": integrity(set_to(pubkey=f"{PUBLIC}0")),
    "a prefix of another algorithm": integrity(set_to(pubkey=f"ecdsa:{PUBLIC_HEX}")),
    "another algorithm": integrity(set_to(signature_algorithm="rsa")),
    "another signature in signature.sig": plus(SIG, b"00" * 64),
    "signature.sig of another package": lambda f: {**f, SIG: hivellm_signed(license="x")[SIG]},
    "an empty signature.sig": plus(SIG, b""),
    "the signature in another form": high_s,
    "a signature that fits everything": small_order("01" + "00" * 31),
    "a signature of zeros by the key of zeros": all_of(
        integrity(set_to(signature="00" * 64, pubkey="00" * 32)), plus(SIG, b"00" * 64)
    ),
    "half a signature": integrity(lambda r: r.update(signature=r["signature"][:64])),
    "no list of files": integrity(set_to(files=None)),
    "an empty digest": integrity(lambda record: record["files"].update({"README.md": ""})),
    "a path written in another way": integrity(
        lambda record: record["files"].update({"./README.md": record["files"]["README.md"]})
    ),
    "integrity twice": text_of("manifest.json", '"integrity":', '"integrity": {}, "integrity":'),
    "a marker without its signature": plus(MARKER),
    "the signature removed, signature.sig kept": integrity(set_to(signature=None)),
}


@pytest.fixture(
    params=[*(f"ours: {name}" for name in OF_OURS), *(f"HiveLLM's: {n}" for n in OF_HIVELLM)]
)
def forged(request: pytest.FixtureRequest) -> Files:
    kind, _, name = request.param.partition(": ")
    files = signed() if kind == "ours" else hivellm_signed()
    changed = (OF_OURS if kind == "ours" else OF_HIVELLM)[name](files)
    assert changed != files
    return changed


def test_a_forgery_is_refused(tmp_path: Path, cache: Cache, forged: Files) -> None:
    add_trusted(bytes.fromhex(PUBLIC_HEX), "me")
    for place in (tmp_path / "p.expert", tmp_path / "folder"):
        write_package(place, forged)
        for policy in ("check", "require"):
            with pytest.raises(SignatureError) as caught:
                open_package(place, cache=cache, signatures=policy)
            assert str(caught.value).startswith(f"{place}: its signature does not fit: ")
            assert len(str(caught.value).splitlines()) >= 2


def test_what_is_forged_is_accepted_before(tmp_path: Path, cache: Cache) -> None:
    """Or the forgeries would be refused for something else."""
    add_trusted(bytes.fromhex(PUBLIC_HEX), "me")
    for name, files in (("ours", signed()), ("theirs", hivellm_signed())):
        for place in (tmp_path / f"{name}.expert", tmp_path / f"{name}.zip", tmp_path / name):
            write_package(place, files)
            report = open_package(place, cache=cache, signatures="require").signature
            assert (report.state, report.trusted_as) == ("signed", "me")


@pytest.mark.parametrize("place", ["first", "last"])
@pytest.mark.parametrize("name", ["README.md", "manifest.json", "training_args.bin", "./README.md"])
def test_a_member_that_occurs_twice_is_refused(
    tmp_path: Path, cache: Cache, name: str, place: str
) -> None:
    """Whichever of the two this library would take: another program takes the other one."""
    files = signed()
    real = files[name.removeprefix("./")]
    other = real.replace(b"somebody", b"somebodz") if "manifest" in name else b"other"
    rest = list(files.items())
    both = [(name, other), *rest] if place == "first" else [*rest, (name, other)]
    path = archive_of(tmp_path / "p.expert", both)
    with pytest.raises(SignatureError, match="two members called"):
        open_package(path, cache=cache)


def test_a_package_signed_anew_by_somebody_else_is_his(tmp_path: Path, cache: Cache) -> None:
    add_trusted(bytes.fromhex(PUBLIC_HEX), "me")
    for place in (tmp_path / "p.expert", tmp_path / "folder"):
        write_package(place, signed(OTHER_KEY))
        opened = open_package(place, cache=cache)
        assert (opened.signature.key, opened.signature.trusted_as) == (OTHER_PUBLIC, None)
        assert "not trusted" in opened.notes[0]
        with pytest.raises(SignatureError, match=f"trust add {OTHER_PUBLIC}"):
            open_package(place, cache=cache, signatures="require")


def test_a_package_without_all_signatures_is_unsigned(tmp_path: Path, cache: Cache) -> None:
    """Nothing shows that it had some: who needs that has to require them."""
    stripped = all_of(without(OWN, MARKER, SIG), manifest(lambda r: r.pop("integrity")))(signed())
    for place in (tmp_path / "p.expert", tmp_path / "folder"):
        write_package(place, stripped)
        assert open_package(place, cache=cache).signature.state == "unsigned"
        with pytest.raises(SignatureError, match="not signed, and a signature is required"):
            open_package(place, cache=cache, signatures="require")

"""Signs a package: HiveLLM's signature in its manifest, and one over the whole package.

::

    signed = sign_package(Path("sql.expert"), read_private_key(Path("me.key")))
    signed.place, signed.key     # sql.expert, "ed25519:…"
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..archive.names import is_desktop_litter
from ..archive.packing import pack
from ..archive.unpack import unpack
from ..cache.digests import digest_file
from ..errors import ManifestError, PackageError, SignatureError
from ..manifest.parsing import parse_manifest
from ..package.digests import check_sidecar, folder_members
from ..package.files import file_in, read_in
from ..signing import ed25519
from ..signing.hivellm_signature import ALGORITHM
from ..signing.keys import key_text
from ..signing.messages import (
    MANIFEST,
    MARKER,
    MARKER_TEXT,
    PACKAGE_SIGNATURE,
    SIGNATURE_FILE,
    SIGNATURE_MEMBERS,
    hivellm_message,
    package_message,
)
from ..signing.package_signature import PackageSignature
from ..signing.verification import SignedContents, verify_signatures
from ..storage.whole_files import temporary_name
from ..strict_json.parsing import MAX_BYTES
from ..user_paths import is_file, is_folder, shown_path, user_path
from .placing import put_in_place

__all__ = ["SignedPackage", "sign_package"]

DEFAULT_PUBLISHER = "hivellm-lite"
"""HiveLLM's tool cannot read an ``integrity`` without a publisher."""

MAX_PUBLISHER = 200
"""Characters; it is printed in one line."""


@dataclass(frozen=True)
class SignedPackage:
    """A package that was signed. ``left_out`` are members that desktops had added."""

    place: Path
    digest: str
    identity: str
    key: str
    signed_at: str
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _Parts:
    """A package that is to be signed: its manifest, and its other files with their digests."""

    manifest: bytes
    files: Mapping[str, Path]
    digests: Mapping[str, str]


def sign_package(
    package: str | os.PathLike[str],
    private_key: bytes,
    output: str | os.PathLike[str] | None = None,
    *,
    publisher: str = DEFAULT_PUBLISHER,
    signature_file: bool = True,
    verify: bool = True,
) -> SignedPackage:
    """Sign an archive or a folder and write the archive ``output``, by default ``package`` itself.

    Earlier signatures are replaced. The archive is written whole or not at all, and its digest
    file anew. ``signature_file=False`` leaves out ``signature.sig``, for which HiveLLM's own tool
    refuses every package. ``verify=False`` ignores the digest file beside ``package``.

    Raises SignatureError, PackageError or ManifestError.
    """
    source = user_path(package).absolute()
    place = _place(source, output)
    if not publisher.isprintable() or not 0 < len(publisher) <= MAX_PUBLISHER:
        raise SignatureError(
            f"publisher={publisher!r:.120}: expected one line of 1 to {MAX_PUBLISHER} characters"
        )
    signed_at = _now()
    with _opened(source, verify=verify) as parts:
        record = _manifest(parts.manifest, source)
        manifest = parse_manifest(parts.manifest, source=f"{source.name}/{MANIFEST}")
        own = (*SIGNATURE_MEMBERS, MANIFEST)
        left_out = tuple(sorted(name for name in parts.files if is_desktop_litter(name)))
        files: dict[str, Path | bytes] = {
            name: path
            for name, path in parts.files.items()
            if name not in own and name not in left_out
        }
        digests = {name: parts.digests[name] for name in files}

        def add(name: str, data: bytes) -> None:
            files[name], digests[name] = data, hashlib.sha256(data).hexdigest()

        add(MARKER, MARKER_TEXT)
        add(MANIFEST, _as_bytes(record))
        signature = ed25519.sign(private_key, hivellm_message(digests))
        key = ed25519.public_key_of(private_key)
        record["integrity"] = {
            "created_at": signed_at,
            "publisher": publisher,
            "pubkey": key_text(key),
            "signature_algorithm": ALGORITHM,
            "signature": signature.hex(),
            "files": {name: digests[name] for name in sorted(digests, key=str.encode)},
        }
        final = _as_bytes(record)
        if len(final) > MAX_BYTES:
            raise ManifestError(
                f"{source.name}/{MANIFEST}: over {MAX_BYTES} bytes with its signature, which "
                "lists every file\nPackage fewer files."
            )
        add(MANIFEST, final)
        if signature_file:
            add(SIGNATURE_FILE, signature.hex().encode())
        name, version = manifest.name, manifest.version
        message = package_message(name, version, signed_at, digests)
        whole = PackageSignature(
            name, version, signed_at, key, ed25519.sign(private_key, message), dict(digests)
        )
        add(PACKAGE_SIGNATURE, whole.as_json())
        contents = SignedContents(
            digests,
            final,
            signature.hex().encode() if signature_file else None,
            whole.as_json(),
        )
        verify_signatures(contents, {}, source=str(source))
        digest = _write(files, place)
    return SignedPackage(place, digest, manifest.identity, key_text(key), signed_at, left_out)


def _place(source: Path, output: str | os.PathLike[str] | None) -> Path:
    """Where the archive goes."""
    if output is not None:
        place = user_path(output).absolute()
        if is_folder(place):
            raise PackageError(f"{place}: a folder\nName the file to write, such as x.expert.")
        if not is_folder(place.parent):
            raise PackageError(f"{shown_path(place.parent)}: no such folder\nMake it first.")
        return place
    if is_folder(source):
        raise PackageError(
            f"{source}: a folder; what is signed becomes an archive\nName it: -o NAME.expert"
        )
    if source.suffix.lower() == ".zip":
        raise PackageError(
            f"{source.name}: a zip; what is signed becomes a gzip-compressed tar\n"
            "Name it: -o NAME.expert"
        )
    return source


@contextlib.contextmanager
def _opened(source: Path, *, verify: bool) -> Iterator[_Parts]:
    """The package's files, of an archive in a folder that is removed at the end."""
    if is_folder(source):
        if (source / ".git").exists():
            raise PackageError(
                f"{source}: a working tree of git, whose history would be signed, too\n"
                "Export it (git archive), or package it first: package FOLDER -o NAME.expert"
            )
        yield _parts(source, source, folder_members(source, digest_file))
    elif is_file(source):
        digest = digest_file(source)
        if verify:
            check_sidecar(source, digest)
        with tempfile.TemporaryDirectory(prefix="hivellm-sign-") as folder:
            root = Path(folder, "files")
            report = unpack(source, root, everything=True)
            if digest_file(source) != digest:
                raise PackageError(f"{source.name} was changed while it was read\nTry again.")
            yield _parts(source, root, report.digests)
    else:
        raise PackageError(
            f"{shown_path(source)}: no such file or folder\nGive an .expert file or its folder."
        )


def _parts(source: Path, root: Path, digests: Mapping[str, str]) -> _Parts:
    place = file_in(root, MANIFEST)
    if place is None:
        raise PackageError(f"{source}: no {MANIFEST}\nAn expert package has one at its top.")
    return _Parts(
        read_in(root, place, MAX_BYTES + 1), {name: root / name for name in digests}, digests
    )


def _manifest(data: bytes, source: Path) -> dict[str, Any]:
    """The manifest without ``integrity``, its keys in their order."""
    parse_manifest(data, source=f"{source.name}/{MANIFEST}")  # bounds it, and tells what is wrong
    record: dict[str, Any] = json.loads(data.decode("utf-8-sig"))
    record.pop("integrity", None)
    return record


def _as_bytes(record: Mapping[str, Any]) -> bytes:
    """Canonical JSON: what is hashed is what everybody would write."""
    return f"{json.dumps(record, indent=2, ensure_ascii=False)}\n".encode()


def _now() -> str:
    """The time of signing, or of ``SOURCE_DATE_EPOCH``, in UTC."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    try:
        moment = (
            datetime.datetime.fromtimestamp(int(given), datetime.timezone.utc)
            if given
            else datetime.datetime.now(datetime.timezone.utc)
        )
    except (ValueError, OverflowError, OSError):
        raise SignatureError(
            f"SOURCE_DATE_EPOCH={given!r:.80} is no time in seconds\nCorrect or remove it."
        ) from None
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _write(files: Mapping[str, Path | bytes], place: Path) -> str:
    """Write the archive and its digest file."""
    temporary = temporary_name(place)
    try:
        digest = pack(files, temporary)
        put_in_place(temporary, place, digest)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return digest

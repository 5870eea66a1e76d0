"""Compares a package with the digests beside it and in its manifest."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from ..archive.limits import LIMITS, Refused
from ..archive.names import member_path, never_unpacked
from ..errors import PackageError
from ..manifest.records import AdapterInfo, Manifest
from ..signing.messages import SIGNATURE_FILE
from ..storage.whole_files import whole_file
from .adapter import AdapterFiles
from .files import MANIFEST, NAMES_SHOWN, file_in, relative_to_root
from .walking import entries_below

__all__ = [
    "ChangedPackageError",
    "check_digests",
    "check_sidecar",
    "folder_digest",
    "folder_members",
    "write_sidecar",
]


class ChangedPackageError(PackageError):
    """The files of a package do not have the digests that its manifest gives."""


_SIDECAR_BYTES = 4096
"""Longest digest file: one line has 66 bytes and a file name."""

_SIDECAR = re.compile(r"\\?([0-9a-fA-F]{64})(?:\s+\*?[^\r\n]*)?\s*")


def check_sidecar(source: Path, digest: str) -> None:
    """Compare with ``<file>.sha256``, if there is one: ``<64 hex>  <name>``."""
    sidecar = source.with_name(f"{source.name}.sha256")
    if not sidecar.is_file():
        return
    with sidecar.open("rb") as file:
        text = file.read(_SIDECAR_BYTES).decode("utf-8-sig", "replace")
    way_out = "or pass --no-verify (verify=False) if you trust the package"
    if not (match := _SIDECAR.fullmatch(text.strip())):
        raise PackageError(
            f"{sidecar.name}: expected one line with 64 hex digits and the file name\n"
            f"Get the digest again, remove this file, {way_out}."
        )
    if match[1].lower() != digest:
        raise PackageError(
            f"{source.name} does not have the digest that {sidecar.name} gives\n"
            f"  found    {digest}\n  expected {match[1].lower()}\n"
            f"Download it again, {way_out}. Older packagers wrote wrong digest files."
        )


def write_sidecar(source: Path, digest: str) -> Path:
    """Write ``<file>.sha256`` beside ``source`` as ``sha256sum`` does, and return its path.

    Raises PackageError if that is impossible.
    """
    sidecar = source.with_name(f"{source.name}.sha256")
    name = source.name.replace("\\", r"\\").replace("\n", r"\n").replace("\r", r"\r")
    mark = "" if name == source.name else "\\"
    try:
        with whole_file(sidecar) as file:
            file.write(f"{mark}{digest}  ".encode() + os.fsencode(name) + b"\n")
    except OSError as error:
        raise PackageError(f"cannot write {sidecar}: {error.strerror or error}") from error
    return sidecar


def check_digests(
    source: Path,
    root: Path,
    manifest: Manifest,
    adapter: AdapterFiles,
    info: AdapterInfo | None,
    skipped: tuple[str, ...],
    digest_once: Callable[[Path], str],
) -> tuple[str, ...]:
    """Compare the files with every digest that the manifest gives.

    Packagers write nominal sizes, so a size that differs becomes a note in the result. Raises
    PackageError that lists every other difference.
    """
    problems: list[str] = []
    notes: list[str] = []

    def compare(path: Path, found: str, expected: str) -> None:
        if found != expected:
            name = relative_to_root(path, root)
            problems.append(f"  {name}: SHA-256 {found}, the manifest says {expected}")

    if info is not None and info.size_bytes is not None:
        size = adapter.weights.stat().st_size
        if size != info.size_bytes:
            name = relative_to_root(adapter.weights, root)
            notes.append(f"{name}: {size} bytes, the manifest says {info.size_bytes}")
    if info is not None and info.sha256 is not None:
        compare(adapter.weights, digest_once(adapter.weights), info.sha256)
    listed = manifest.integrity.files if manifest.integrity else {}
    for name, expected in listed.items():
        try:
            path = member_path(name)
        except Refused as error:
            problems.append(f"  integrity.files: {error}")
            continue
        # The manifest was hashed before its own digest was written into it. A package that was
        # signed twice may list the signature that it had before.
        if path in (MANIFEST, SIGNATURE_FILE):
            continue
        if (place := file_in(root, path)) is not None:
            compare(place, digest_once(place), expected)
        elif path not in skipped and not never_unpacked(path):
            problems.append(f"  {path}: missing, but listed in integrity.files")
    if problems:
        shown = problems[:NAMES_SHOWN]
        if len(problems) > NAMES_SHOWN:
            shown.append(f"  and {len(problems) - NAMES_SHOWN} more")
        raise ChangedPackageError(
            "\n".join([f"{source}: not the files that its manifest describes", *shown])
            + "\nThe package was changed or damaged after it was made: get it again."
        )
    return tuple(notes)


def folder_members(root: Path, digest_once: Callable[[Path], str]) -> dict[str, str]:
    """SHA-256 of every file below ``root``, by its path; nothing is left out.

    Raises PackageError for what no archive would hold: a link to a folder, a pipe, a name that is
    not allowed there, or more files than it may have.
    """
    digests: dict[str, str] = {}
    for place in entries_below(root):
        if place.is_dir():
            raise PackageError(f"{place}: a link to a folder, in a package that is signed")
        path = relative_to_root(place, root)
        try:
            safe = member_path(path) == path
        except Refused as error:
            raise PackageError(f"{root}: {error}") from None
        if not safe or file_in(root, path) is None:
            raise PackageError(f"{place}: no ordinary file, in a package that is signed")
        digests[path] = digest_once(place)
        if len(digests) > LIMITS.members:
            raise PackageError(f"{root}: over {LIMITS.members} files, in a signed package")
    return digests


def folder_digest(root: Path, paths: Iterable[Path], digest_once: Callable[[Path], str]) -> str:
    """SHA-256 over the names and contents of ``paths``, in any order."""
    lines = sorted({f"{digest_once(path)}  {relative_to_root(path, root)}\n" for path in paths})
    return hashlib.sha256("".join(lines).encode()).hexdigest()

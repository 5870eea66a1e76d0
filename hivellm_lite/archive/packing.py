"""Writes a package archive: the same files give the same bytes on every machine.

::

    digest = pack({"manifest.json": data, "adapter_model.safetensors": path}, Path("x.expert"))

Nothing of the machine gets into the archive: no times, owners or modes, no order of folders, and
no build of zlib, since nothing is compressed unless the caller asks for it.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from ..errors import PackageError
from ..storage.whole_files import whole_file
from .gzip_writer import DeflatedGzip, StoredGzip
from .limits import LIMITS, Refused
from .names import TakenNames, member_path
from .tar_headers import END, file_header, padding

__all__ = ["pack"]

_FIRST = "manifest.json"
"""Readers find what they look for without reading the weights."""

_CHUNK = 1 << 20


def pack(files: Mapping[str, Path | bytes], place: Path, *, compress: bool = False) -> str:
    """Write ``files`` to the gzip-compressed tar ``place`` and return its SHA-256 in hex.

    Keys are paths in the archive, values the content or the file that holds it. ``manifest.json``
    comes first, the others follow in the order of their bytes. ``compress`` makes the archive
    smaller, and its bytes then depend on the build of zlib. ``place`` is there whole or, after an
    error, what it was before.

    Raises PackageError for a name that is unsafe somewhere, for more than an archive may hold,
    for a file that cannot be read or changes meanwhile, and if ``place`` cannot be written.
    """
    try:
        members = _checked(files, place)
        return _write(members, place, compress=compress)
    except Refused as error:
        raise PackageError(f"{place.name}: cannot be packed: {error}") from None
    except OSError as error:
        raise PackageError(f"cannot write {place}: {error.strerror or error}") from error


def _checked(files: Mapping[str, Path | bytes], place: Path) -> list[tuple[str, Path | bytes, int]]:
    """Path, content and size of every member, in the archive's order."""
    paths = {member_path(name): content for name, content in files.items()}
    if len(paths) < len(files):
        raise Refused("two names for one path")
    if _FIRST not in paths:
        raise PackageError(f"{place.name}: no {_FIRST} among the files to pack")
    if len(files) > LIMITS.members:
        raise Refused(f"{len(files)} files; an archive may have {LIMITS.members}")
    taken = TakenNames()
    for path in paths:
        taken.claim(path)
    order = sorted(paths, key=lambda path: (path != _FIRST, path.encode()))
    members = [(path, paths[path], _size(paths[path])) for path in order]
    total = len(END) + sum(
        len(file_header(path, size)) + size + len(padding(size)) for path, _, size in members
    )
    if total > LIMITS.total_bytes:
        largest = max(members, key=lambda member: member[2])
        raise PackageError(
            f"{place.name}: {total / 1e6:.0f} MB; an archive may hold "
            f"{LIMITS.total_bytes / 1e6:.0f} MB\n"
            f"The largest file is {largest[0]} with {largest[2] / 1e6:.0f} MB. "
            "A folder may be larger: load it as it is."
        )
    return members


def _size(content: Path | bytes) -> int:
    if isinstance(content, bytes):
        return len(content)
    try:
        facts = content.stat()
    except OSError as error:
        raise _unreadable(content, error) from error
    if not stat.S_ISREG(facts.st_mode):
        raise PackageError(f"{content}: no regular file\nAn archive holds regular files only.")
    return facts.st_size


def _write(members: list[tuple[str, Path | bytes, int]], place: Path, *, compress: bool) -> str:
    digest = hashlib.sha256()
    with whole_file(place) as file:

        def sink(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        out = DeflatedGzip(sink) if compress else StoredGzip(sink)
        for path, content, size in members:
            out.write(file_header(path, size))
            for chunk in _chunks(content, size):
                out.write(chunk)
            out.write(padding(size))
        out.write(END)
        out.finish()
    return digest.hexdigest()


def _chunks(content: Path | bytes, size: int) -> Iterator[bytes]:
    """The bytes of a member, which must be ``size``."""
    if isinstance(content, bytes):
        yield content
        return
    with _opened(content) as file:
        while size:
            chunk = _read(file, min(size, _CHUNK), content)
            if not chunk:
                raise _changed(content)
            size -= len(chunk)
            yield chunk
        if _read(file, 1, content):
            raise _changed(content)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(file: BinaryIO, size: int, path: Path) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise _unreadable(path, error) from error


def _changed(path: Path) -> PackageError:
    return PackageError(f"{path} was changed while it was packed\nTry again.")


def _unreadable(path: Path, error: OSError) -> PackageError:
    return PackageError(f"cannot read {path}: {error.strerror or error}")

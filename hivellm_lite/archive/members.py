"""Reads the members of a tar or a zip; the bytes of the file show which it is.

Headers are never trusted, and bytes are counted as they come out of the decompressor. Nothing is
written here, and names are passed on unchanged::

    with path.open("rb") as file:
        for name, chunks in members(path.name, file, LIMITS):
            ...
"""

from __future__ import annotations

import io
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import PackageError
from ..storage.bounded_reads import BadOffset, BoundedReads
from .gzip_stream import GzipStream
from .limits import Budget, Limits, Refused

__all__ = ["DAMAGE", "members"]

_CHUNK = 16 << 10
"""Bytes per read, and so the largest part of a tar header that is accepted: tarfile reads
it in one piece, whatever size it claims, and searches it in quadratic time."""

_HEADER_BYTES = 64 << 10
"""Largest header of a tar member with all its parts. tarfile follows long names, pax
records and maps of sparse files before anybody can look at the member."""

_GLOBAL_RECORDS = 100
"""Most global pax records, which tarfile copies for every member. Git writes one."""

_ZIP_DIRECTORY_BYTES = 2 << 20
"""Largest table of contents of a zip; zipfile reads it in one piece as well."""

_TAR_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}

_NOT_AN_ARCHIVE = (
    (rb"$", "an empty file", "Download it again."),
    (rb"\s*<(!doctype|html|\?xml)", "a web page", "The link leads to a page, not to the file."),
    (rb"version https://git-lfs", "a Git LFS pointer", "'git lfs pull' fetches the file itself."),
    (rb"\s*[{\[]", "JSON", "Give the folder that holds the manifest and the adapter."),
    (rb"GGUF", "a GGUF model", "A package holds an adapter and its manifest."),
    (rb".{8}\{", "a safetensors file", "Give the folder that holds it and its manifest."),
    (
        rb"\xfd7zXZ|BZh|7z\xbc\xaf|\x28\xb5\x2f\xfd",
        "an archive of another kind",
        "Use gzip or zip.",
    ),
    (rb"", "something else", "A package is a gzip-compressed tar, a zip, or a folder."),
)


DAMAGE = (
    *(EOFError, zlib.error, tarfile.TarError, zipfile.BadZipFile, BadOffset),
    # What tarfile and zipfile let escape on malformed headers, RecursionError included.
    *(ValueError, LookupError, ArithmeticError, RuntimeError, struct.error),
)
"""What reading a damaged archive raises."""


def members(name: str, file: BinaryIO, limits: Limits) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Name and content of every regular file, in order."""
    head = file.read(tarfile.BLOCKSIZE)
    budget = Budget(limits, file.seek(0, io.SEEK_END))
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return _tar_members(_TarBytes(GzipStream(file), budget), budget)
    if head.startswith(b"PK"):
        bounded = BoundedReads(file, _ZIP_DIRECTORY_BYTES, _large_directory)
        return _zip_members(zipfile.ZipFile(bounded), budget)
    if head[257:262] == b"ustar":
        return _tar_members(_TarBytes(file, budget), budget)
    found, advice = next(
        entry[1:] for entry in _NOT_AN_ARCHIVE if re.match(entry[0], head, re.I | re.S)
    )
    raise PackageError(f"{name}: not a package archive but {found}\n{advice}")


def _large_directory() -> Refused:
    return Refused(f"a table of contents of over {_ZIP_DIRECTORY_BYTES >> 20} MiB")


def _tar_members(stream: _TarBytes, budget: Budget) -> Iterator[tuple[str, Iterator[bytes]]]:
    tar = tarfile.TarFile(fileobj=stream, encoding="utf-8")
    if tar.firstmember is None:  # type: ignore[attr-defined]
        # newer versions of tarfile drop a first member of negative size, and read the next one
        stream.finish()
        return
    while (member := _next_member(tar, stream)) is not None:
        budget.member()
        if member.issparse() or any(key.startswith("GNU.sparse") for key in member.pax_headers):
            raise Refused(f"{member.name!r}: a sparse file")
        if member.size < 0:
            raise Refused(f"{member.name!r}: a negative size")
        if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
            yield member.name, stream.chunks(member.size)
        elif not member.isdir():
            kind = _TAR_KINDS.get(member.type, "a member of unknown kind")
            raise Refused(f"{member.name!r}: {kind}; a package holds regular files only")
    stream.finish()


def _next_member(tar: tarfile.TarFile, stream: _TarBytes) -> tarfile.TarInfo | None:
    stream.begin_header()
    member = tar.next()
    tar.members = []  # type: ignore[attr-defined]  # it keeps every one that it has given
    if len(tar.pax_headers) > _GLOBAL_RECORDS:
        raise Refused(f"more than {_GLOBAL_RECORDS} global pax records")
    return member


class _TarBytes(io.RawIOBase):
    """The bytes of a tar, counted and forward only, as far as tarfile needs a file."""

    def __init__(self, source: BinaryIO | GzipStream, budget: Budget) -> None:
        self._source = source
        self._budget = budget
        self._position = 0
        self._header_bytes = 0
        self._last = b""

    def tell(self) -> int:
        return self._position

    def begin_header(self) -> None:
        """What tarfile reads from here on is the header of one member."""
        self._header_bytes = 0

    def read(self, size: int = -1) -> bytes:
        """Part of a header, for tarfile: all of it unless the archive ends."""
        if not 0 <= size <= _CHUNK:
            raise Refused(f"a header of {size} bytes; at most {_CHUNK} are accepted")
        self._header_bytes += size
        if self._header_bytes > _HEADER_BYTES:
            raise Refused(f"a header of over {_HEADER_BYTES} bytes, or a sparse file")
        self._last = b"".join(self._pieces(size))
        return self._last

    def _pieces(self, size: int) -> Iterator[bytes]:
        """Up to ``size`` bytes, counted."""
        while size and (piece := self._source.read(min(size, _CHUNK))):
            size -= len(piece)
            self._position += len(piece)
            self._budget.spend(len(piece))
            yield piece

    def seek(self, offset: int, _whence: int = io.SEEK_SET) -> int:
        # Backwards is a negative count, which read refuses.
        for _ in self.chunks(offset - self._position):
            pass
        return self._position

    def chunks(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes."""
        if size < 0:
            raise Refused(f"a header of {size} bytes; at most {_CHUNK} are accepted")
        for chunk in self._pieces(size):
            size -= len(chunk)
            yield chunk
        if size:
            raise EOFError("it ends within a file")

    def finish(self) -> None:
        """Read to the end, which checks the gzip checksum.

        tarfile takes a damaged header for the end, so look: the end is zeros.
        """
        rest = self._last
        if len(rest) != tarfile.BLOCKSIZE:
            raise EOFError("it has no end mark")
        while rest:
            if rest.strip(b"\0"):
                raise tarfile.ReadError("a header is damaged, or data follow the end")
            rest = b"".join(self._pieces(_CHUNK))


def _zip_members(archive: zipfile.ZipFile, budget: Budget) -> Iterator[tuple[str, Iterator[bytes]]]:
    for info in archive.infolist():
        budget.member()
        # ``filename`` was cut at a NUL; this is what the archive says.
        name = info.orig_filename
        if info.is_dir():
            continue
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            raise Refused(f"{name!r}: a link or device; a package holds regular files only")
        if info.flag_bits & 1:
            raise Refused(f"{name!r}: encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Refused(f"{name!r}: a compression other than deflate")
        yield name, _zip_chunks(archive, info, budget)


def _zip_chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> Iterator[bytes]:
    with archive.open(info) as file:
        while chunk := file.read(_CHUNK):
            budget.spend(len(chunk))
            yield chunk

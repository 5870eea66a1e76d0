"""Unpacks a package archive that nobody vouches for.

Members are copied one by one: ``extractall`` is never called, headers are never
trusted, and bytes are counted as they come out of the decompressor. What a
package has no business to hold (links, devices, names that leave the folder) is
an error; what it may hold but nobody will open (pickles, programs) stays in the
archive and is listed in the report. Nothing remains after an error::

    report = unpack(Path("expert-sql.expert"), folder)
    report.files      # {"manifest.json": 1832, "adapter_model.safetensors": 26738672}
    report.skipped    # ("training_args.bin",)
"""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import re
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .errors import PackageError

__all__ = ["LIMITS", "Limits", "Refused", "UnpackReport", "member_path", "never_unpacked", "unpack"]


@dataclass(frozen=True)
class Limits:
    """How much an archive may ask for."""

    total_bytes: int = 1 << 30
    """All that comes out. Real packages have 26 to 34 MB; an adapter is no base model."""

    members: int = 4096
    """Entries, folders included. Real packages have about fifteen and their tests."""

    depth: int = 16
    """Folders within folders. Real packages use three levels."""

    path_bytes: int = 240
    """Length of a path in UTF-8. File systems stop at 255 for one component."""

    ratio: int = 200
    """Bytes out for each byte in. Weights reach 4 and JSON 20; zeros reach 1030."""

    ratio_free_bytes: int = 64 << 20
    """Output up to which the ratio is not looked at: an adapter that is all zeros is
    legitimate, and 64 MiB harm nobody."""


LIMITS = Limits()

_CHUNK = 16 << 10
"""Bytes per read, and so the largest tar header that is accepted: tarfile reads a
header in one piece, whatever size it claims, and searches it in quadratic time."""

_ZIP_DIRECTORY_BYTES = 2 << 20
"""Largest table of contents of a zip; zipfile reads it in one piece as well."""

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
_PROGRAMS = (
    *(".py", ".pyc", ".pyd", ".sh", ".so", ".dylib", ".dll", ".exe", ".com", ".bat", ".cmd"),
    *(".ps1", ".vbs", ".js", ".jar", ".msi"),
)
# llama.cpp's GGUF parser is not hardened against hostile files.
_NEVER_UNPACKED = (*_PICKLES, *_PROGRAMS, ".gguf")

_PROGRAM_MAGIC = (
    *(b"\x7fELF", b"MZ", b"GGUF", b"\xca\xfe\xba\xbe"),
    *(b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"),
)

_DESKTOP_LITTER = re.compile(r"(^|/)(__MACOSX/|\._[^/]*$|\.DS_Store$|Thumbs\.db$)")
"""What macOS and Windows add to archives made by hand."""

_WINDOWS_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*]|[. ]$')

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


class Refused(Exception):
    """The archive breaks a rule of this module. The message names member and rule."""


class _BadOffset(OSError):
    """A zip points outside itself; an OSError because zipfile expects one."""


_DAMAGE = (
    *(EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile, _BadOffset),
    # What tarfile and zipfile let escape on malformed headers, RecursionError included.
    *(ValueError, LookupError, ArithmeticError, RuntimeError, struct.error),
)


@dataclass(frozen=True)
class UnpackReport:
    """What was written (path and bytes) and what was left in the archive."""

    files: dict[str, int]
    skipped: tuple[str, ...]


def unpack(archive: Path, destination: Path, *, limits: Limits = LIMITS) -> UnpackReport:
    """Unpack a ``.tar.gz``, ``.tar`` or ``.zip`` into ``destination``, an empty or new folder.

    A folder around everything is removed. Files get mode 0o644. Raises
    PackageError if the archive is damaged, unsafe or no archive at all, and
    OSError when reading or writing fails.
    """
    with archive.open("rb") as file, _empty_after_errors(destination):
        try:
            target = _Target(destination, limits)
            for name, chunks in _members(archive.name, file, limits):
                target.add(name, chunks)
            return target.finish()
        except Refused as error:
            raise PackageError(
                f"{archive.name}: {error}\nNothing was unpacked. If you trust the package, "
                "unpack it yourself and load the folder."
            ) from None
        except _DAMAGE as error:
            reason = error if str(error) else "it ends too early"
            raise PackageError(
                f"{archive.name}: damaged or incomplete ({reason})\nDownload it again."
            ) from error


def never_unpacked(name: str) -> bool:
    """Whether a file of this name stays in the archive: pickles, programs, GGUF."""
    return name.lower().endswith(_NEVER_UNPACKED)


def member_path(name: str, limits: Limits = LIMITS) -> str:
    """``name`` without leading ``./`` if it is safe on every system; raises Refused."""
    path = re.sub(r"^(\./+)+", "", name)
    parts = path.split("/")
    if not name.isprintable() or "\\" in name:
        raise Refused(f"{name!r}: a control character, backslash or undecodable byte in a name")
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        raise Refused(f"{name!r}: an absolute path")
    if ".." in parts:
        raise Refused(f"{name!r}: a path that leaves the package")
    if "" in parts or "." in parts:
        raise Refused(f"{name!r}: an empty name in a path")
    if len(parts) > limits.depth:
        raise Refused(f"{path[:80]!r}…: more than {limits.depth} folders deep")
    if len(path.encode()) > limits.path_bytes:
        raise Refused(f"{path[:80]!r}…: a path of over {limits.path_bytes} bytes")
    for part in parts:
        if _WINDOWS_DEVICE.fullmatch(part) or _NOT_ON_WINDOWS.search(part):
            raise Refused(f"{name!r}: a name that Windows cannot store")
    return path


@contextlib.contextmanager
def _empty_after_errors(folder: Path) -> Iterator[None]:
    existed = folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    try:
        yield
    except BaseException:
        shutil.rmtree(folder)
        if existed:
            folder.mkdir()
        raise


class _Target:
    """The folder that is being filled."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self._limits = limits
        self._files: dict[str, int] = {}
        self._skipped: dict[str, None] = {}
        self._taken: dict[str, tuple[str, bool]] = {}

    def add(self, name: str, chunks: Iterator[bytes]) -> None:
        """Write one member; of the same name twice the last one stays."""
        path = member_path(name, self._limits)
        if _DESKTOP_LITTER.search(path):
            return
        self._claim(path)
        place = self._folder / path
        place.unlink(missing_ok=True)
        self._files.pop(path, None)
        self._skipped.pop(path, None)
        if never_unpacked(path):
            self._skipped[path] = None
            return
        head = next(chunks, b"")
        # The first bytes of safetensors are a length, which may spell "MZ".
        if not path.endswith(".safetensors") and head.startswith(_PROGRAM_MAGIC):
            self._skipped[path] = None
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("xb") as file:
            for chunk in itertools.chain([head], chunks):
                file.write(chunk)
            self._files[path] = file.tell()
        place.chmod(0o644)

    def finish(self) -> UnpackReport:
        """Remove the folder around everything, if there is one, and report."""
        names = [*self._files, *self._skipped]
        tops = {name.partition("/")[0] for name in names}
        top = next(iter(tops), "")
        if len(tops) == 1 and f"{top}/manifest.json" in self._files:
            content = {path.name for path in (self._folder / top).iterdir()}
            free = next(n for n in map(str, itertools.count()) if n not in content)
            outer = (self._folder / top).rename(self._folder / free)
            for path in outer.iterdir():
                path.rename(self._folder / path.name)
            outer.rmdir()
            start = len(top) + 1
            self._files = {name[start:]: size for name, size in self._files.items()}
            self._skipped = {name[start:]: None for name in self._skipped}
        return UnpackReport(self._files, tuple(self._skipped))

    def _claim(self, path: str) -> None:
        """Note the name and its folders as file systems without case see them."""
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            name, is_file = "/".join(parts[:depth]), depth == len(parts)
            folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
            other, other_is_file = self._taken.setdefault(folded, (name, is_file))
            if other != name:
                raise Refused(f"{name!r} and {other!r}: names that differ only in case")
            if other_is_file != is_file:
                raise Refused(f"{name!r}: a file and a folder of the same name")


class _Budget:
    """Counts members and the bytes that come out of the decompressor."""

    def __init__(self, limits: Limits, archive_bytes: int) -> None:
        self._limits = limits
        self._by_ratio = max(limits.ratio_free_bytes, limits.ratio * archive_bytes)
        self._spent = 0
        self._members = 0

    def member(self) -> None:
        self._members += 1
        if self._members > self._limits.members:
            raise Refused(f"more than {self._limits.members} members")

    def spend(self, count: int) -> None:
        self._spent += count
        if self._spent > self._limits.total_bytes:
            raise Refused(f"more than {self._limits.total_bytes / 1e6:.0f} MB come out of it")
        if self._spent > self._by_ratio:
            raise Refused(f"a decompression bomb: over {self._limits.ratio} bytes for each byte")


def _members(name: str, file: BinaryIO, limits: Limits) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Name and content of every regular file, in order."""
    head = file.read(tarfile.BLOCKSIZE)
    budget = _Budget(limits, file.seek(0, io.SEEK_END))
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return _tar_members(_TarBytes(gzip.GzipFile(fileobj=file), budget), budget)
    if head.startswith(b"PK"):
        return _zip_members(zipfile.ZipFile(_ZipBytes(file)), budget)
    if head[257:262] == b"ustar":
        return _tar_members(_TarBytes(file, budget), budget)
    found, advice = next(
        entry[1:] for entry in _NOT_AN_ARCHIVE if re.match(entry[0], head, re.I | re.S)
    )
    raise PackageError(f"{name}: not a package archive but {found}\n{advice}")


def _tar_members(stream: _TarBytes, budget: _Budget) -> Iterator[tuple[str, Iterator[bytes]]]:
    tar = tarfile.TarFile(fileobj=stream, encoding="utf-8")
    while (member := tar.next()) is not None:
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


class _TarBytes(io.RawIOBase):
    """The bytes of a tar, counted and forward only, as far as tarfile needs a file."""

    def __init__(self, source: BinaryIO | gzip.GzipFile, budget: _Budget) -> None:
        self._source = source
        self._budget = budget
        self._position = 0
        self._last = b""

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _CHUNK:
            raise Refused(f"a header of {size} bytes; at most {_CHUNK} are accepted")
        self._last = self._source.read(size)
        self._position += len(self._last)
        self._budget.spend(len(self._last))
        return self._last

    def seek(self, offset: int, _whence: int = io.SEEK_SET) -> int:
        # Backwards is a negative count, which read refuses.
        for _ in self.chunks(offset - self._position):
            pass
        return self._position

    def chunks(self, size: int) -> Iterator[bytes]:
        """The next ``size`` bytes."""
        while size:
            chunk = self.read(min(size, _CHUNK))
            if not chunk:
                raise EOFError("it ends within a file")
            size -= len(chunk)
            yield chunk

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
            rest = self.read(_CHUNK)


def _zip_members(
    archive: zipfile.ZipFile, budget: _Budget
) -> Iterator[tuple[str, Iterator[bytes]]]:
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


def _zip_chunks(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: _Budget
) -> Iterator[bytes]:
    with archive.open(info) as file:
        while chunk := file.read(_CHUNK):
            budget.spend(len(chunk))
            yield chunk


class _ZipBytes(io.RawIOBase):
    """The file below a ZipFile, which cannot be made to read much at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError) as error:
            raise _BadOffset("it points outside itself") from error

    def read(self, size: int = -1) -> bytes:
        limit = _ZIP_DIRECTORY_BYTES + 1
        data = self._file.read(min(size, limit) if size >= 0 else limit)
        if len(data) == limit:
            raise Refused("a table of contents of over 2 MiB")
        return data

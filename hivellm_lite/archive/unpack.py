"""Unpacks a package archive from a stranger.

Members are copied one by one: ``extractall`` is never called, headers are never trusted, and bytes
are counted as they come out of the decompressor. Links, devices and names that leave the folder
are errors. Files that may be there but that nobody will open (pickles, programs) stay in the
archive and are listed in the report. Nothing remains after an error::

    report = unpack(Path("expert-sql.expert"), folder)
    report.files      # {"manifest.json": 1832, "adapter_model.safetensors": 26738672}
    report.skipped    # ("training_args.bin",)
    report.digests    # {"manifest.json": "9f86…", "training_args.bin": "2c26…", …}
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import PackageError
from ..storage.held_files import rename
from .limits import LIMITS, Limits, Refused
from .members import DAMAGE, members
from .names import TakenNames, is_desktop_litter, is_program, member_path, never_unpacked

__all__ = ["LIMITS", "Limits", "Refused", "UnpackReport", "unpack"]


@dataclass(frozen=True)
class UnpackReport:
    """What was written (path and bytes) and what was left in the archive.

    ``digests`` gives the SHA-256 of every member: also of what was left in the archive, and of
    what desktops add and nobody lists. ``repeated`` are names that more than one member had; the
    last one counts.
    """

    files: dict[str, int]
    skipped: tuple[str, ...]
    digests: dict[str, str]
    repeated: tuple[str, ...]


def unpack(
    archive: Path,
    destination: Path,
    *,
    limits: Limits = LIMITS,
    opened: Collection[str] = (),
    everything: bool = False,
) -> UnpackReport:
    """Unpack a ``.tar.gz``, ``.tar`` or ``.zip`` into ``destination``, an empty or new folder.

    A folder around everything is removed. Files get mode 0o644. Files of the names ``opened``, as
    the report gives them, are unpacked even if they are called pickles: somebody reads them
    without running them. Raises PackageError if the archive is damaged, unsafe or no archive at
    all, and OSError when reading or writing fails.
    """
    with archive.open("rb") as file, _empty_after_errors(destination):
        try:
            target = _Target(destination, limits, opened, everything)
            for name, chunks in members(archive.name, file, limits):
                target.add(name, chunks)
            return target.finish()
        except Refused as error:
            raise PackageError(
                f"{archive.name}: {error}\nNothing was unpacked. If you trust the package, "
                "unpack it yourself and load the folder."
            ) from None
        except DAMAGE as error:
            reason = error if str(error) else "it ends too early"
            raise PackageError(
                f"{archive.name}: damaged or incomplete ({reason})\nDownload it again."
            ) from error


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

    def __init__(
        self, folder: Path, limits: Limits, opened: Collection[str], everything: bool
    ) -> None:
        self._folder = folder
        self._opened = opened
        self._everything = everything
        self._limits = limits
        self._files: dict[str, int] = {}
        self._skipped: dict[str, None] = {}
        self._digests: dict[str, str] = {}
        self._repeated: dict[str, None] = {}
        self._taken = TakenNames()

    def add(self, name: str, chunks: Iterator[bytes]) -> None:
        """Write one member. If a name comes twice, the last member stays."""
        path = member_path(name, self._limits)
        digest = hashlib.sha256()
        self._store(path, _counted(chunks, digest))
        if path in self._digests:
            self._repeated[path] = None
        self._digests[path] = digest.hexdigest()

    def _store(self, path: str, chunks: Iterator[bytes]) -> None:
        """Write the member, or only read it to its end."""
        if is_desktop_litter(path):
            _read_through(chunks)
            return
        self._taken.claim(path)
        place = self._folder / path
        place.unlink(missing_ok=True)
        self._files.pop(path, None)
        self._skipped.pop(path, None)
        # the folder around everything is not yet known
        wanted = path in self._opened or path.partition("/")[2] in self._opened
        if never_unpacked(path) and not (wanted or self._everything):
            self._skipped[path] = None
            _read_through(chunks)
            return
        head = next(chunks, b"")
        if is_program(path, head) and not self._everything:
            self._skipped[path] = None
            _read_through(chunks)
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
            outer = rename(self._folder / top, self._folder / free)
            for path in outer.iterdir():
                rename(path, self._folder / path.name)
            outer.rmdir()
            start = len(top) + 1
            self._files = {name[start:]: size for name, size in self._files.items()}
            self._skipped = {name[start:]: None for name in self._skipped}
            self._repeated = {name.removeprefix(f"{top}/"): None for name in self._repeated}
            inside: dict[str, str] = {}
            for name, digest in self._digests.items():
                if inside.setdefault(name.removeprefix(f"{top}/"), digest) is not digest:
                    raise Refused(f"{name!r}: it is inside the folder {top!r} and beside it, too")
            self._digests = inside
        return UnpackReport(self._files, tuple(self._skipped), self._digests, tuple(self._repeated))


def _counted(chunks: Iterator[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def _read_through(chunks: Iterator[bytes]) -> None:
    for _ in chunks:
        pass

"""The cache folder: every file that was derived from something else.

One entry is one folder, ``<root>/<kind>/<key>/``, with the artefacts and an
``entry.json`` that says what they were made from (`entries`). The key is a
digest of all inputs, so a changed input never meets an old result. An entry that
is damaged is none: it is made again.

An entry is built in ``<root>/tmp/<kind>-<key>/`` by whoever holds the lock of
that key, flushed, then renamed into place: a half-built entry is never seen,
two processes that want the same one build it once, and what a killed process
left behind is removed by the next holder of the lock.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import (
    BaseNotFoundError,
    CacheError,
    ConversionError,
    ExpertError,
    LoadError,
    ManifestError,
    OutOfMemoryError,
    PackageError,
)
from ..user_paths import user_path
from .entries import (
    CacheEntry,
    EntryDamaged,
    digest_file,
    find_damage,
    finish_artefacts,
    read_entry,
    write_entry,
)

if TYPE_CHECKING:
    from .upkeep import CacheItem

__all__ = [
    "KINDS",
    "Cache",
    "CacheEntry",
    "copy_whole",
    "default_root",
    "delete",
    "digest_file",
    "digest_of",
    "is_disk_full",
    "is_unchanged",
    "source_of",
]

KINDS = ("packages", "adapters", "bases", "splits")
"""Kinds of entries: unpacked packages, converted adapters and bases, bases in parts."""

FINGERPRINTS = "fingerprints"
"""Folder below the root with the digests of large files, by path, size and time."""

_LOCK_TIMEOUT_S = 3600.0
"""How long to wait for another process that builds the same entry."""

_QUICKLY_READ = 256 << 20
"""Bytes whose digest takes half a second."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_Result = TypeVar("_Result")

logger = logging.getLogger("hivellm_lite")


def default_root() -> Path:
    """``$HIVELLM_HOME``, or ``hivellm`` in the platform's cache folder.

    Raises CacheError where neither is set nor the user's home folder is known.
    """
    try:
        return _default_root()
    except RuntimeError as error:  # of pathlib: no home folder, no such user
        raise CacheError(
            f"no folder for the cache is known: {error}\nSet HIVELLM_HOME to a folder."
        ) from None


def _default_root() -> Path:
    if home := os.environ.get("HIVELLM_HOME"):
        return Path(home).expanduser()
    if sys.platform == "win32":
        parent = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        parent = Path.home() / "Library" / "Caches"
    else:
        parent = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return parent / "hivellm"


def digest_of(*parts: object) -> str:
    """A cache key: SHA-256 over the JSON of ``parts``, in hex, shortened to 32 digits."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def source_of(path: Path) -> dict[str, Any]:
    """What is remembered of a user's file, to notice later that it went or changed.

    Of a folder: the bytes and the latest change of all files in it.
    """
    path = path.resolve()
    files = [path] if not path.is_dir() else sorted(p for p in path.rglob("*") if p.is_file())
    stats = [file.stat() for file in files]
    return {
        "path": str(path),
        "size": sum(stat.st_size for stat in stats),
        "mtime_ns": max((stat.st_mtime_ns for stat in stats), default=0),
    }


class Cache:
    """The cache folder ``root``, by default ``HIVELLM_HOME`` or the user's cache folder.

    Creating the object touches nothing on disk. Its methods may change in any release.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = (user_path(root) if root is not None else default_root()).absolute()
        self._given: dict[tuple[str, str], CacheEntry] = {}

    def find(self, kind: str, key: str) -> CacheEntry | None:
        """The finished entry of this key, or None; a damaged one is none."""
        try:
            return self._sound(kind, key)
        except EntryDamaged:
            return None

    def _sound(self, kind: str, key: str) -> CacheEntry:
        entry = read_entry(kind, key, self.root / kind / key)
        if (damage := find_damage(entry)) is not None:
            raise EntryDamaged(damage)
        return entry

    def give_out(self, entry: CacheEntry) -> CacheEntry:
        """Remember that ``entry`` is being used: `heal` looks at it where something fails."""
        self._given[entry.kind, entry.key] = entry
        return entry

    def find_by_sources(
        self, kind: str, sources: Iterable[Path], **wanted: object
    ) -> CacheEntry | None:
        """The entry that was made from exactly these files, unchanged since, and whose
        ``entry.json`` holds the ``wanted`` values. Spares hashing large files again.
        """
        known = [source_of(path) for path in sources]
        for entry in self.entries(kind):
            if list(entry.sources) == known and all(
                entry.info.get(name) == value for name, value in wanted.items()
            ):
                return self.give_out(entry)
        return None

    def get_or_build(
        self,
        kind: str,
        key: str,
        build: Callable[[Path], Mapping[str, Any]],
        *,
        sources: Iterable[Path] = (),
    ) -> tuple[CacheEntry, bool]:
        """The entry of ``key``, built first if it is missing.

        ``build(folder)`` fills an empty folder and returns what ``entry.json``
        shall remember. If it raises, nothing is left behind. Returns the entry
        and whether it was built by this call. ``sources`` are the user's files
        whose disappearance makes the entry prunable.

        Raises CacheError when the folder cannot be written, and whatever
        ``build`` raises.
        """
        sources = list(sources)
        known = [source_of(path) for path in sources]
        if (entry := self.reuse(kind, key, sources=sources)) is not None:
            return entry, False
        place = self.root / kind / key
        with self._locked(kind, key):
            try:
                return self.give_out(self._sound(kind, key)), False
            except EntryDamaged as damage:
                if _is_there(place):
                    logger.warning("%s cannot be used and is made again: %s", place, damage)
            folder = self.root / "tmp" / f"{kind}-{key}"
            try:
                delete(folder)
                folder.mkdir(parents=True)
                info = dict(build(folder))
                info |= {"created": time.time(), "sources": known}
                info["artefacts"] = finish_artefacts(folder)
                written = write_entry(kind, key, folder, info)
                place.parent.mkdir(parents=True, exist_ok=True)
                delete(place)
                folder.rename(place)
            except OSError as error:
                raise self._explain(error) from error
            finally:
                with contextlib.suppress(OSError):
                    delete(folder)
            entry = self.give_out(CacheEntry(kind, key, place, written))
            for name, artefact in written["artefacts"].items():
                if name.endswith(".gguf"):
                    self._note_fingerprint(place / name, artefact["sha256"])
            return entry, True

    def heal(self, work: Callable[[], _Result]) -> _Result:
        """``work()``; once more where it failed and an entry that it was given is damaged.

        Entries are checked by size and time when they are given out. Where something fails
        after all, the digests of those that this object gave out are compared; an entry that
        differs is removed, so that it is made again. A refusal, which seldom has to do with
        damage, does not wait for the digest of a large base.
        """
        try:
            return work()
        except (BaseNotFoundError, OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # whatever a reader makes of damaged bytes
            refused = isinstance(error, PackageError | ManifestError | ConversionError)
            if not self._remove_damaged(_QUICKLY_READ if refused else None):
                raise
            return work()

    def _remove_damaged(self, max_bytes: int | None) -> bool:
        """Whether one of the entries that this object gave out was damaged, or is gone."""
        found = False
        for entry in list(self._given.values()):
            if max_bytes is not None and entry.size > max_bytes:
                continue
            if find_damage(entry, digests=True) is None:
                continue
            found = True
            with self._locked(entry.kind, entry.key):
                # another process may have made it again meanwhile
                damage = find_damage(self.find(entry.kind, entry.key) or entry, digests=True)
                if damage is not None and _is_there(entry.path):
                    logger.warning("%s is damaged and is made again: %s", entry.path, damage)
                    self._bury(entry.kind, entry.path)
        self._given.clear()
        return found

    def reuse(self, kind: str, key: str, *, sources: Iterable[Path] = ()) -> CacheEntry | None:
        """The entry of ``key`` if there is one, remembering ``sources`` too."""
        if (entry := self.find(kind, key)) is None:
            return None
        return self._remember(self.give_out(entry), [source_of(path) for path in sources])

    def fingerprint(self, path: Path) -> str:
        """SHA-256 of a large file, remembered for as long as its size and time stay."""
        note = self._fingerprint_note(path)
        with contextlib.suppress(OSError, ValueError):
            known = note.read_text("ascii")
            if _SHA256.fullmatch(known):
                return known
        digest = digest_file(path)
        if self._fingerprint_note(path) == note:  # it did not change meanwhile
            self._note_fingerprint(path, digest)
        return digest

    def _fingerprint_note(self, path: Path) -> Path:
        return self.root / FINGERPRINTS / digest_of(source_of(path))

    def _note_fingerprint(self, path: Path, digest: str) -> None:
        with contextlib.suppress(OSError):  # a read-only cache only costs the time
            note = self._fingerprint_note(path)
            note.parent.mkdir(parents=True, exist_ok=True)
            temporary = note.with_name(f"{note.name}.{_unique()}")
            temporary.write_text(digest, "ascii")
            temporary.replace(note)

    def entries(self, kind: str | None = None) -> Iterator[CacheEntry]:
        """All sound entries, of this kind or of all, by kind and key."""
        for one in KINDS if kind is None else (kind,):
            names: list[str] = []
            with contextlib.suppress(OSError):
                names = sorted(path.name for path in (self.root / one).iterdir())
            for name in names:
                if (entry := self.find(one, name)) is not None:
                    yield entry

    def prune(self) -> list[CacheItem]:
        """Remove entries that are damaged, or whose every source was deleted or changed.

        Returns them. Raises CacheError for what cannot be removed, after all else is.
        """
        from .upkeep import prune

        return prune(self).or_raise()

    def clear(self) -> list[CacheItem]:
        """Remove every entry; returns them. Raises CacheError as `prune` does."""
        from .upkeep import clear

        return clear(self).or_raise()

    def remove(self, entry: CacheEntry, *, timeout: float = _LOCK_TIMEOUT_S) -> None:
        """Remove one entry. It disappears at once: renamed away first, then deleted.

        Raises CacheError, also where another process holds it for longer than ``timeout`` s.
        """
        self.remove_at(entry.kind, entry.path, timeout=timeout)

    def remove_at(self, kind: str, path: Path, *, timeout: float = _LOCK_TIMEOUT_S) -> None:
        """Remove what lies at the place of an entry, a link but never what it points to."""
        with self._locked(kind, path.name, timeout=timeout):
            self._bury(kind, path)

    def _bury(self, kind: str, path: Path) -> None:
        """Remove what lies at ``path``; the caller holds the lock of its key."""
        grave = self.root / "tmp" / f"{kind}-{path.name}"
        try:
            delete(grave)
            grave.parent.mkdir(parents=True, exist_ok=True)
            path.rename(grave)
            delete(grave)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._explain(error) from error

    def remove_leftovers(self) -> None:
        """Delete what killed processes left in ``tmp``, unless it is being built now."""
        names: list[str] = []
        with contextlib.suppress(OSError):
            names = [path.name for path in (self.root / "tmp").iterdir()]
        for name in names:
            kind, _, key = name.partition("-")
            if kind in KINDS and key:
                with contextlib.suppress(CacheError, OSError), self._locked(kind, key, timeout=0):
                    delete(self.root / "tmp" / name)

    def _remember(self, entry: CacheEntry, known: list[dict[str, Any]]) -> CacheEntry:
        """Add new sources to ``entry.json``; a read-only cache is no obstacle."""
        if all(source in entry.sources for source in known):
            return entry
        with contextlib.suppress(CacheError), self._locked(entry.kind, entry.key):
            entry = self.find(entry.kind, entry.key) or entry
            paths = {source["path"] for source in known}
            kept = [source for source in entry.sources if source["path"] not in paths]
            info: Mapping[str, Any] = {**entry.info, "sources": kept + known}
            with contextlib.suppress(OSError):
                info = write_entry(entry.kind, entry.key, entry.path, info)
            return CacheEntry(entry.kind, entry.key, entry.path, info)
        return entry

    @contextlib.contextmanager
    def _locked(self, kind: str, key: str, timeout: float = _LOCK_TIMEOUT_S) -> Iterator[None]:
        import filelock

        folder = self.root / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            place = folder / f"{kind}-{key}.lock"
            if place.is_symlink() or place.is_dir():  # nothing that can be locked
                delete(place)
            lock = filelock.FileLock(place, timeout=timeout)
            lock.acquire()
        except filelock.Timeout:
            raise CacheError(
                f"another process has been building {kind}/{key} for over {timeout:.0f} s\n"
                f"If none is running, delete {folder}."
            ) from None
        except NotImplementedError as error:  # some network file systems
            raise CacheError(
                f"{folder}: files cannot be locked there: {error}\n"
                "Set HIVELLM_HOME (or cache_dir=) to a folder on a local disk."
            ) from None
        except OSError as error:
            raise self._locking_failed(kind, key, error) from error
        try:
            yield
        finally:
            lock.release()

    def _locking_failed(self, kind: str, key: str, error: OSError) -> ExpertError:
        reason = self._explain(error)
        place = self.root / kind / key
        if not _is_there(place):
            return reason
        try:
            self._sound(kind, key)
        except EntryDamaged as damage:
            return CacheError(f"{place} is damaged ({damage}) and cannot be made again:\n{reason}")
        return reason

    def _explain(self, error: OSError) -> ExpertError:
        if is_disk_full(error):
            try:
                free = f" ({shutil.disk_usage(self.root).free / 1e6:.0f} MB free)"
            except OSError:
                free = ""
            return LoadError(
                f"the disk of the cache folder {self.root} is full{free}\n"
                "Make room, run 'hivellm-lite cache prune', or set HIVELLM_HOME "
                "(or cache_dir=) to a folder on another disk."
            )
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
        inside = self.root in Path(name).parents
        if name and not inside and Path(name) != self.root:
            return LoadError(f"cannot read {name}: {error.strerror}")
        if isinstance(error, FileExistsError | NotADirectoryError | IsADirectoryError):
            return CacheError(
                f"{name or self.root} is in the way: {error.strerror}\n"
                "Move it, or set HIVELLM_HOME (or cache_dir=) to another folder."
            )
        where = f": {name}" if inside else ""
        return CacheError(
            f"cannot write to the cache folder {self.root}{where}: {error.strerror or error}\n"
            "Set HIVELLM_HOME (or cache_dir=) to a folder that can be written."
        )


def is_disk_full(error: OSError) -> bool:
    """Whether a disk, a quota or a limit on files had no room. NumPy names no number."""
    if error.errno is None:
        return re.fullmatch(r"\d+ requested and \d+ written", str(error)) is not None
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_unchanged(source: Mapping[str, Any]) -> bool:
    """Whether a source is what it was, or cannot be seen just now, as on another's disk."""
    try:
        return source_of(Path(source["path"])) == source
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _is_there(path: Path) -> bool:
    """Also a link that leads nowhere; False where that cannot be seen."""
    return os.path.lexists(path)


def delete(path: Path) -> None:
    """Delete a file, a link or a folder with all that is in it; what is not there is no error."""
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        pass


def _unique() -> str:
    """Part of a temporary name that no other process or thread has."""
    return f"{os.getpid()}-{threading.get_ident()}"


def copy_whole(source: Path, target: str | os.PathLike[str]) -> None:
    """Copy a file so that ``target`` is never seen half written."""
    place = Path(target)
    temporary = place.with_name(f".{place.name}.{_unique()}.tmp")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(place)
    except OSError as error:
        raise CacheError(f"cannot write {place}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()

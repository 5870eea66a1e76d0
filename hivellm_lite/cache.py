"""The cache folder: every file that was derived from something else.

One entry is one folder, ``<root>/<kind>/<key>/``, with the artefact and an
``entry.json`` that says what it was made from. The key is a digest of all
inputs, so a changed input never meets an old result.

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
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CacheError, ExpertError, LoadError

__all__ = [
    "KINDS",
    "Cache",
    "CacheEntry",
    "copy_whole",
    "default_root",
    "digest_file",
    "digest_of",
    "source_of",
]

KINDS = ("packages", "adapters", "bases", "splits")
"""Kinds of entries: unpacked packages, converted adapters and bases, bases in parts."""

FINGERPRINTS = "fingerprints"
"""Folder below the root with the digests of large files, by path, size and time."""

_LOCK_TIMEOUT_S = 3600.0
"""How long to wait for another process that builds the same entry."""

_HASH_CHUNK = 1 << 20


def default_root() -> Path:
    """``$HIVELLM_HOME``, or ``hivellm`` in the platform's cache folder."""
    if home := os.environ.get("HIVELLM_HOME"):
        return Path(home).expanduser()
    if sys.platform == "win32":
        parent = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        parent = Path.home() / "Library" / "Caches"
    else:
        parent = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return parent / "hivellm"


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def digest_of(*parts: object) -> str:
    """A cache key: SHA-256 over the JSON of ``parts``, in hex, shortened to 32 digits."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class CacheEntry:
    """One finished entry. ``path`` is its folder, ``info`` what ``entry.json`` holds."""

    kind: str
    key: str
    path: Path
    info: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(f.stat().st_size for f in self.path.rglob("*") if f.is_file())

    @property
    def sources(self) -> tuple[Mapping[str, Any], ...]:
        """The user's files that it was made from: ``{path, size, mtime_ns}`` each."""
        return tuple(self.info.get("sources", ()))

    def record(self, name: str, value: Any) -> None:
        """Add a value to ``entry.json``; a read-only cache is no obstacle."""
        with contextlib.suppress(OSError):
            info = json.loads((self.path / "entry.json").read_text("utf-8"))
            _write_json(self.path / "entry.json", {**info, name: value})


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
    """The entries below one folder. Creating the object touches nothing on disk."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = Path(root).expanduser() if root is not None else default_root()

    def find(self, kind: str, key: str) -> CacheEntry | None:
        """The finished entry of this key, or None; one with a damaged ``entry.json`` is none."""
        path = self.root / kind / key
        try:
            info = json.loads((path / "entry.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return CacheEntry(kind, key, path, info) if isinstance(info, dict) else None

    def find_by_sources(
        self, kind: str, sources: Iterable[Path], **wanted: object
    ) -> CacheEntry | None:
        """The entry that was made from exactly these files, unchanged since, and whose
        ``entry.json`` holds the ``wanted`` values. Spares hashing large files again.
        """
        known = [source_of(path) for path in sources]
        for entry in self.entries():
            if (
                entry.kind == kind
                and list(entry.sources) == known
                and all(entry.info.get(name) == value for name, value in wanted.items())
            ):
                return entry
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
        with self._locked(kind, key):
            if (entry := self.find(kind, key)) is not None:
                return entry, False
            folder = self.root / "tmp" / f"{kind}-{key}"
            try:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                info = dict(build(folder))
                info |= {"created": time.time(), "sources": known}
                _write_json(folder / "entry.json", info)
                _flush_tree(folder)
                place = self.root / kind / key
                place.parent.mkdir(parents=True, exist_ok=True)
                if place.exists():  # damaged: it was not found above
                    shutil.rmtree(place)
                folder.rename(place)
            except OSError as error:
                raise self._explain(error) from error
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            return CacheEntry(kind, key, place, info), True

    def reuse(self, kind: str, key: str, *, sources: Iterable[Path] = ()) -> CacheEntry | None:
        """The entry of ``key`` if there is one, remembering ``sources`` too."""
        entry = self.find(kind, key)
        return entry and self._remember(entry, [source_of(path) for path in sources])

    def fingerprint(self, path: Path) -> str:
        """SHA-256 of a large file, remembered for as long as its size and time stay."""
        note = self.root / FINGERPRINTS / digest_of(source_of(path))
        try:
            return note.read_text("ascii")
        except OSError:
            digest = digest_file(path)
        with contextlib.suppress(OSError):  # a read-only cache only costs the time
            note.parent.mkdir(parents=True, exist_ok=True)
            temporary = note.with_name(f"{note.name}.{_unique()}")
            temporary.write_text(digest, "ascii")
            temporary.replace(note)
        return digest

    def entries(self) -> Iterator[CacheEntry]:
        """All finished entries, by kind and key."""
        for kind in KINDS:
            folder = self.root / kind
            if folder.is_dir():
                for path in sorted(folder.iterdir()):
                    if (entry := self.find(kind, path.name)) is not None:
                        yield entry

    def prune(self) -> list[CacheEntry]:
        """Remove entries whose every source was deleted or changed; returns them."""
        removed = []
        for entry in list(self.entries()):
            if entry.sources and not any(_unchanged(source) for source in entry.sources):
                self.remove(entry)
                removed.append(entry)
        self._remove_leftovers()
        return removed

    def clear(self) -> list[CacheEntry]:
        """Remove every entry; returns them."""
        removed = list(self.entries())
        for kind in KINDS:
            folder = self.root / kind
            if folder.is_dir():
                for path in folder.iterdir():
                    self._remove_folder(kind, path)
        shutil.rmtree(self.root / FINGERPRINTS, ignore_errors=True)
        self._remove_leftovers()
        return removed

    def remove(self, entry: CacheEntry) -> None:
        """Remove one entry. It disappears at once: renamed away first, then deleted."""
        self._remove_folder(entry.kind, entry.path)

    def _remove_folder(self, kind: str, path: Path) -> None:
        with self._locked(kind, path.name):
            grave = self.root / "tmp" / f"{kind}-{path.name}"
            try:
                shutil.rmtree(grave, ignore_errors=True)
                grave.parent.mkdir(parents=True, exist_ok=True)
                path.rename(grave)
                shutil.rmtree(grave)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise self._explain(error) from error

    def _remove_leftovers(self) -> None:
        """Delete what killed processes left in ``tmp``, unless it is being built now."""
        folder = self.root / "tmp"
        for path in list(folder.iterdir()) if folder.is_dir() else []:
            kind, _, key = path.name.partition("-")
            with contextlib.suppress(CacheError), self._locked(kind, key, timeout=0):
                shutil.rmtree(path, ignore_errors=True)

    def _remember(self, entry: CacheEntry, known: list[dict[str, Any]]) -> CacheEntry:
        """Add new sources to ``entry.json``; a read-only cache is no obstacle."""
        if all(source in entry.sources for source in known):
            return entry
        with contextlib.suppress(CacheError), self._locked(entry.kind, entry.key):
            entry = self.find(entry.kind, entry.key) or entry
            paths = {source["path"] for source in known}
            kept = [source for source in entry.sources if source["path"] not in paths]
            info = {**entry.info, "sources": kept + known}
            with contextlib.suppress(OSError):
                _write_json(entry.path / "entry.json", info)
            return CacheEntry(entry.kind, entry.key, entry.path, info)
        return entry

    @contextlib.contextmanager
    def _locked(self, kind: str, key: str, timeout: float = _LOCK_TIMEOUT_S) -> Iterator[None]:
        import filelock

        folder = self.root / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(folder / f"{kind}-{key}.lock", timeout=timeout)
            lock.acquire()
        except filelock.Timeout:
            raise CacheError(
                f"another process has been building {kind}/{key} for over {timeout:.0f} s\n"
                f"If none is running, delete {folder}."
            ) from None
        except OSError as error:
            raise self._explain(error) from error
        try:
            yield
        finally:
            lock.release()

    def _explain(self, error: OSError) -> ExpertError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            free = shutil.disk_usage(self.root).free / 1e6 if self.root.exists() else 0.0
            return LoadError(
                f"the disk of the cache folder {self.root} is full ({free:.0f} MB free)\n"
                "Make room, run 'hivellm-lite cache prune', or set HIVELLM_HOME "
                "(or cache_dir=) to a folder on another disk."
            )
        if error.filename and self.root not in Path(os.fsdecode(error.filename)).parents:
            return LoadError(f"cannot read {error.filename}: {error.strerror}")
        return CacheError(
            f"cannot write to the cache folder {self.root}: {error.strerror or error}\n"
            "Set HIVELLM_HOME (or cache_dir=) to a folder that can be written."
        )


def _unchanged(source: Mapping[str, Any]) -> bool:
    try:
        return source_of(Path(source["path"])) == source
    except OSError:
        return False


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.{_unique()}.tmp")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def _unique() -> str:
    """Part of a temporary name that no other process or thread has."""
    return f"{os.getpid()}-{threading.get_ident()}"


def _flush_tree(folder: Path) -> None:
    """Have the disk hold every file before the folder gets its final name."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+" if os.name == "nt" else "rb") as file:
                os.fsync(file.fileno())


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
        temporary.unlink(missing_ok=True)

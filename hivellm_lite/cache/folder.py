"""The cache folder on disk: its place, its entries, its locks, and removing entries.

``<root>/<kind>/<key>/`` is an entry (`entries`), ``<root>/tmp/<kind>-<key>/`` holds an entry
while it is built or removed, and ``<root>/locks/<kind>-<key>.lock`` is the lock of both.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from ..errors import CacheError, ExpertError, LoadError
from ..storage.disk_space import free_bytes, is_disk_full
from ..storage.held_files import rename
from ..user_paths import user_path
from .entries import CacheEntry, EntryDamaged, find_damage, read_entry

__all__ = [
    "FINGERPRINTS",
    "INDEXES",
    "KINDS",
    "LOCK_TIMEOUT_S",
    "CacheFolder",
    "default_root",
    "delete",
]

KINDS = ("packages", "adapters", "prompts", "bases", "splits")
"""Kinds of entries: unpacked packages, converted adapters and bases, bases in parts."""

FINGERPRINTS = "fingerprints"
"""Folder below the root with the digests of large files, by path, size and time."""

INDEXES = "indexes"
"""Folder below the root with copies of indexes on the web, by address."""

LOCK_TIMEOUT_S = 3600.0
"""How long to wait for another process that builds the same entry."""


def default_root() -> Path:
    """``$HIVELLM_HOME``, or ``hivellm`` in the platform's cache folder.

    Raises CacheError if neither is set and the user's home folder is unknown.
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


class CacheFolder:
    """The folder ``root``. Creating the object touches nothing on disk."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = (user_path(root) if root is not None else default_root()).absolute()

    # --- reading -----------------------------------------------------------------------

    def place(self, kind: str, key: str) -> Path:
        """The folder of an entry, which need not exist."""
        return self.root / kind / key

    def workplace(self, kind: str, key: str) -> Path:
        """The folder in which an entry is built or removed. Only the holder of its lock uses it."""
        return self.root / "tmp" / f"{kind}-{key}"

    def sound(self, kind: str, key: str) -> CacheEntry:
        """The finished entry of this key. Raises EntryDamaged if it is damaged or missing."""
        entry = read_entry(kind, key, self.place(kind, key))
        if (damage := find_damage(entry)) is not None:
            raise EntryDamaged(damage)
        return entry

    def find(self, kind: str, key: str) -> CacheEntry | None:
        """The finished entry of this key; None if it is damaged or missing."""
        try:
            return self.sound(kind, key)
        except EntryDamaged:
            return None

    def entries(self, kind: str | None = None) -> Iterator[CacheEntry]:
        """All sound entries of a kind, or of all kinds, ordered by kind and key."""
        for one in KINDS if kind is None else (kind,):
            names: list[str] = []
            with contextlib.suppress(OSError):
                names = sorted(path.name for path in (self.root / one).iterdir())
            for name in names:
                if (entry := self.find(one, name)) is not None:
                    yield entry

    # --- removing ----------------------------------------------------------------------

    def remove(self, kind: str, path: Path, *, timeout: float = LOCK_TIMEOUT_S) -> None:
        """Remove what stands at the place of an entry, also a link, but not what it points to.

        It disappears at once: it is renamed first, then deleted. Raises CacheError, also if
        another process holds the lock for longer than ``timeout`` seconds.
        """
        with self.locked(kind, path.name, timeout=timeout):
            self.remove_locked(kind, path)

    def remove_locked(self, kind: str, path: Path) -> None:
        """As `remove`, for a caller that holds the lock."""
        grave = self.workplace(kind, path.name)
        try:
            delete(grave)
            grave.parent.mkdir(parents=True, exist_ok=True)
            rename(path, grave)
            delete(grave)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self.explain(error) from error

    def remove_leftovers(self) -> None:
        """Delete what killed processes left in ``tmp``, except what is being built now."""
        names: list[str] = []
        with contextlib.suppress(OSError):
            names = [path.name for path in (self.root / "tmp").iterdir()]
        for name in names:
            kind, _, key = name.partition("-")
            if kind in KINDS and key:
                with contextlib.suppress(CacheError, OSError), self.locked(kind, key, timeout=0):
                    delete(self.root / "tmp" / name)

    # --- locking and errors --------------------------------------------------------------

    @contextlib.contextmanager
    def locked(self, kind: str, key: str, timeout: float = LOCK_TIMEOUT_S) -> Iterator[None]:
        """Hold the lock of an entry.

        Raises CacheError or LoadError if the lock cannot be had within ``timeout`` seconds.
        """
        import filelock  # as slow as all modules of the cache together, and only used to build

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
        reason = self.explain(error)
        place = self.place(kind, key)
        if not os.path.lexists(place):
            return reason
        try:
            self.sound(kind, key)
        except EntryDamaged as damage:
            return CacheError(f"{place} is damaged ({damage}) and cannot be made again:\n{reason}")
        return reason

    def explain(self, error: OSError) -> ExpertError:
        """The error of the library that says what an error of the system means here."""
        if is_disk_full(error):
            try:
                free = f" ({free_bytes(self.root) / 1e6:.0f} MB free)"
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


def delete(path: Path) -> None:
    """Delete a file, a link or a folder with everything in it; nothing happens if it is missing.

    Raises OSError.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        pass

"""Shows what is in the cache folder, and removes entries.

Entries belong to the cache, and so does anything at the place of an entry, however damaged.
Everything else is foreign and left alone: the user may have named a folder that is not only a
cache. A link is removed, but never what it points to. Whatever cannot be read or removed is
reported, and the rest is still done.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import CacheError, LoadError
from .entries import ENTRY, CacheEntry, EntryDamaged, find_damage, read_entry, size_of
from .folder import FINGERPRINTS, INDEXES, KINDS, CacheFolder, delete
from .sources import is_unchanged

__all__ = ["CacheItem", "Removal", "clear", "prune", "remove", "survey", "verify"]

LOCK_TIMEOUT_S = 5.0
"""How long to wait for another process that uses an entry, before it is left where it is."""

_KEY = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class CacheItem:
    """One file or folder in the folder of a kind.

    ``entry`` is set if it is a usable entry; otherwise ``problem`` says why it is not.
    ``is_foreign``: it never was an entry. ``size`` is in bytes.
    """

    kind: str
    path: Path
    size: int
    entry: CacheEntry | None = None
    problem: str | None = None
    is_foreign: bool = False

    @property
    def key(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class Removal:
    """What was removed, and what could not be, with the reason."""

    removed: list[CacheItem]
    failed: list[tuple[CacheItem, str]]

    def or_raise(self) -> list[CacheItem]:
        if self.failed:
            lines = [f"{item.path}: {reason}" for item, reason in self.failed]
            raise CacheError("\n".join(lines))
        return self.removed


def survey(cache: CacheFolder, *, digests: bool = False) -> Iterator[CacheItem]:
    """Everything in the folders of the cache, ordered by kind and name.

    ``digests``: read every byte. Raises CacheError if the cache folder itself cannot be read.
    """
    try:
        if not stat.S_ISDIR(cache.root.stat().st_mode):
            raise CacheError(f"the cache folder {cache.root} is no folder\nMove what is there.")
        next(cache.root.iterdir(), None)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CacheError(f"the cache folder {cache.root} cannot be read: {reason}") from None
    for kind in KINDS:
        folder = cache.root / kind
        try:
            paths = sorted(folder.iterdir())
        except FileNotFoundError:
            continue
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
            yield CacheItem(kind, folder, 0, problem=problem, is_foreign=True)
            continue
        for path in paths:
            yield _item(kind, path, digests)


def verify(cache: CacheFolder) -> Iterator[CacheItem]:
    """`survey` with the digests of all artefacts."""
    return survey(cache, digests=True)


def prune(cache: CacheFolder) -> Removal:
    """Remove the entries that are damaged, or of whose sources none is left unchanged."""

    def is_useless(item: CacheItem) -> bool:
        if item.entry is None:
            return True
        sources = item.entry.sources
        return bool(sources) and not any(is_unchanged(source) for source in sources)

    return _remove(cache, is_useless)


def clear(cache: CacheFolder) -> Removal:
    """Remove every entry, and what is remembered of the users' files and of indexes."""
    removal = _remove(cache, lambda _: True)
    for name in (FINGERPRINTS, INDEXES):
        with contextlib.suppress(OSError):
            for path in list((cache.root / name).iterdir()):
                if _KEY.match(path.name.removeprefix(".")):
                    delete(path)
    return removal


def remove(cache: CacheFolder, items: list[CacheItem]) -> Removal:
    """Remove these items; foreign items are reported as failed."""
    removal = Removal([], [])
    for item in items:
        try:
            if item.is_foreign:
                removal.failed.append((item, "is not of this cache and is left alone"))
                continue
            cache.remove(item.kind, item.path, timeout=LOCK_TIMEOUT_S)
            removal.removed.append(item)
        except LoadError as error:
            removal.failed.append((item, str(error).splitlines()[0]))
        except OSError as error:
            removal.failed.append((item, error.strerror or str(error)))
    return removal


def _remove(cache: CacheFolder, wanted: Callable[[CacheItem], bool]) -> Removal:
    found = [item for item in survey(cache) if not item.is_foreign and wanted(item)]
    removal = remove(cache, found)
    cache.remove_leftovers()
    return removal


def _item(kind: str, path: Path, digests: bool) -> CacheItem:
    size = size_of(path)
    try:
        entry = read_entry(kind, path.name, path)
        damage = find_damage(entry, digests=digests)
    except EntryDamaged as error:
        entry, damage = None, str(error)
    if entry is not None and damage is None:
        return CacheItem(kind, path, size, entry)
    is_ours = _KEY.fullmatch(path.name) is not None or os.path.lexists(path / ENTRY)
    if is_ours:
        return CacheItem(kind, path, size, problem=f"damaged: {damage}")
    return CacheItem(kind, path, size, problem="no entry of this cache", is_foreign=True)

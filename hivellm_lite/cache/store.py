"""The cache: every file that was derived from something else, made once and found again.

One entry is one folder, ``<root>/<kind>/<key>/``, with the artefacts and an ``entry.json`` that
says what they were made from (`entries`). The key is a digest of all inputs, so a changed input
never meets an old result. A damaged entry counts as missing: it is made again.

The holder of a key's lock builds the entry in ``<root>/tmp/<kind>-<key>/``, flushes it, and
renames it into place. So nobody sees a half-built entry, two processes that want the same entry
build it once, and the next holder of the lock removes what a killed process left.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..errors import (
    BaseNotFoundError,
    CacheError,
    ConversionError,
    ManifestError,
    OutOfMemoryError,
    PackageError,
)
from ..storage.held_files import rename
from ..storage.whole_files import whole_file
from . import upkeep
from .digests import digest_file, digest_of
from .entries import CacheEntry, EntryDamaged, find_damage, finish_artefacts, write_entry
from .folder import FINGERPRINTS, CacheFolder, delete
from .sources import SourceChanged, source_of

__all__ = ["Cache"]

_TRIES = 3
"""How often work is tried that finds damaged entries, or entries that others make again."""

_QUICKLY_READ = 256 << 20
"""Bytes whose digest takes half a second."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_Result = TypeVar("_Result")

logger = logging.getLogger("hivellm_lite")


class Cache(CacheFolder):
    """The cache folder ``root``, by default ``HIVELLM_HOME`` or the user's cache folder.

    Creating the object touches nothing on disk. Its methods may change in any release.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        super().__init__(root)
        self._given: dict[tuple[str, str], CacheEntry] = {}

    # --- entries -----------------------------------------------------------------------

    def get_or_build(
        self,
        kind: str,
        key: str,
        build: Callable[[Path], Mapping[str, Any]],
        *,
        sources: Iterable[Path] = (),
    ) -> tuple[CacheEntry, bool]:
        """The entry of ``key``, which is built first if it is missing.

        ``build(folder)`` fills an empty folder and returns what ``entry.json`` shall remember.
        If ``build`` raises, nothing is left of the entry. Returns the entry and whether this
        call built it. ``sources`` are the user's files; `prune` removes the entry once all of
        them are gone or have changed.

        Raises CacheError if the folder cannot be written, and whatever ``build`` raises.
        """
        sources = list(sources)
        known = [source_of(path) for path in sources]
        if (entry := self.reuse(kind, key, sources=sources)) is not None:
            return entry, False
        place = self.place(kind, key)
        with self.locked(kind, key):
            try:
                return self.give_out(self.sound(kind, key)), False
            except EntryDamaged as damage:
                if os.path.lexists(place):
                    logger.warning("%s cannot be used and is made again: %s", place, damage)
            folder = self.workplace(kind, key)
            try:
                delete(folder)
                folder.mkdir(parents=True)
                info = dict(build(folder))
                info |= {"created": time.time(), "sources": known}
                info["artefacts"] = finish_artefacts(folder)
                written = write_entry(kind, key, folder, info)
                place.parent.mkdir(parents=True, exist_ok=True)
                delete(place)
                rename(folder, place)
            except OSError as error:
                raise self.explain(error) from error
            finally:
                with contextlib.suppress(OSError):
                    delete(folder)
            entry = self.give_out(CacheEntry(kind, key, place, written))
            for name, artefact in written["artefacts"].items():
                if name.endswith(".gguf"):
                    self._note_fingerprint(place / name, artefact["sha256"])
            return entry, True

    def reuse(self, kind: str, key: str, *, sources: Iterable[Path] = ()) -> CacheEntry | None:
        """The entry of ``key`` or None. The entry remembers ``sources``, too."""
        if (entry := self.find(kind, key)) is None:
            return None
        return self._remember(self.give_out(entry), [source_of(path) for path in sources])

    def find_by_sources(
        self, kind: str, sources: Iterable[Path], **wanted: object
    ) -> CacheEntry | None:
        """The entry that was made from exactly these files and whose info has these values.

        None if there is no such entry, or if a file has changed since. Large files need not be
        hashed again for this.
        """
        known = [source_of(path) for path in sources]
        for entry in self.entries(kind):
            if list(entry.sources) == known and all(
                entry.info.get(name) == value for name, value in wanted.items()
            ):
                return self.give_out(entry)
        return None

    def give_out(self, entry: CacheEntry) -> CacheEntry:
        """Remember that ``entry`` is in use, so that `heal` checks it if something fails."""
        self._given[entry.kind, entry.key] = entry
        return entry

    def _remember(self, entry: CacheEntry, known: list[dict[str, Any]]) -> CacheEntry:
        """Add new sources to ``entry.json``; in a read-only cache nothing is added."""
        if all(source in entry.sources for source in known):
            return entry
        with contextlib.suppress(CacheError), self.locked(entry.kind, entry.key):
            entry = self.find(entry.kind, entry.key) or entry
            paths = {source["path"] for source in known}
            kept = [source for source in entry.sources if source["path"] not in paths]
            info: Mapping[str, Any] = {**entry.info, "sources": kept + known}
            with contextlib.suppress(OSError):
                info = write_entry(entry.kind, entry.key, entry.path, info)
            return CacheEntry(entry.kind, entry.key, entry.path, info)
        return entry

    # --- damage and clearing up ----------------------------------------------------------

    def heal(self, work: Callable[[], _Result]) -> _Result:
        """Call ``work``. If it fails and an entry that it used is damaged, or was made again by
        another process meanwhile, call it again, three times in all.

        Entries are checked by size and time when they are given out. After a failure their
        digests are compared, too; a damaged entry is removed, so that it is made again. A
        refusal seldom has to do with damage and does not wait for the digest of a large base.
        """
        for _ in range(_TRIES - 1):
            try:
                return work()
            except (BaseNotFoundError, OutOfMemoryError, MemoryError):  # noqa: PERF203 - is tried thrice
                raise
            except Exception as error:  # whatever a reader makes of damaged bytes
                refused = isinstance(error, PackageError | ManifestError | ConversionError)
                again = self._made_again(error)
                if not again and not self._remove_damaged(_QUICKLY_READ if refused else None):
                    raise
        return work()

    def _made_again(self, error: Exception) -> bool:
        """Whether another process has replaced an entry that was being read, as it was damaged."""
        if not isinstance(error, SourceChanged):
            return False
        return Path(os.path.realpath(error.path)).is_relative_to(os.path.realpath(self.root))

    def _remove_damaged(self, max_bytes: int | None) -> bool:
        """Whether one of the entries that this object gave out was damaged or is gone."""
        found = False
        for entry in list(self._given.values()):
            if max_bytes is not None and entry.size > max_bytes:
                continue
            if find_damage(entry, digests=True) is None:
                continue
            found = True
            with self.locked(entry.kind, entry.key):
                # another process may have made it again meanwhile
                damage = find_damage(self.find(entry.kind, entry.key) or entry, digests=True)
                if damage is not None and os.path.lexists(entry.path):
                    logger.warning("%s is damaged and is made again: %s", entry.path, damage)
                    self.remove_locked(entry.kind, entry.path)
        self._given.clear()
        return found

    def prune(self) -> list[upkeep.CacheItem]:
        """Remove the entries that are damaged, or of whose sources none is left unchanged.

        Returns what was removed. Raises CacheError at the end if something cannot be removed.
        """
        return upkeep.prune(self).or_raise()

    def clear(self) -> list[upkeep.CacheItem]:
        """Remove every entry, with the result and the errors of `prune`."""
        return upkeep.clear(self).or_raise()

    # --- fingerprints ------------------------------------------------------------------

    def fingerprint(self, path: Path) -> str:
        """SHA-256 of a large file, remembered as long as the file's size and time stay."""
        note = self._fingerprint_note(path)
        with contextlib.suppress(OSError, ValueError):
            known = note.read_text("ascii")
            if _SHA256.fullmatch(known):
                return known
        digest = digest_file(path)
        if self._fingerprint_note(path) == note:  # it did not change meanwhile
            self._note_fingerprint(path, digest)
        return digest

    def knows_fingerprint(self, path: Path) -> bool:
        """Whether `fingerprint` would not have to read the file."""
        return self._fingerprint_note(path).is_file()

    def _fingerprint_note(self, path: Path) -> Path:
        return self.root / FINGERPRINTS / digest_of(source_of(path))

    def _note_fingerprint(self, path: Path, digest: str) -> None:
        with contextlib.suppress(OSError):  # a read-only cache only costs the time
            note = self._fingerprint_note(path)
            note.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(note) as file:
                file.write(digest.encode("ascii"))

"""One entry of the cache: a folder of artefacts, and ``entry.json``, which shows damage.

``entry.json`` remembers size, digest and time of every artefact, and a digest of itself::

    {"artefacts": {"adapter.gguf": {"size": 4608, "sha256": "…", "mtime_ns": …}},
     "check": "…", "created": …, "sources": [{"path": …, "size": …, "mtime_ns": …}], …}

The builder of an entry decides what else the file holds. ``check`` covers the whole file and the
entry's place. So an entry that is half written, edited, or under another key is recognised
without knowing its fields.

Using an entry costs one ``stat`` for each artefact. If the time of a file has changed, its digest
decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..storage.held_files import when_free
from ..storage.whole_files import flush_file, whole_file
from .digests import digest_file

__all__ = [
    "ENTRY",
    "CacheEntry",
    "EntryDamaged",
    "find_damage",
    "finish_artefacts",
    "read_entry",
    "size_of",
    "write_entry",
]

ENTRY = "entry.json"

MAX_ENTRY_BYTES = 64 << 20
"""Ten thousand unpacked files take about 3 MB."""

_SECOND = 1_000_000_000


class EntryDamaged(Exception):
    """What stands at the place of an entry cannot be used; the text says why."""


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
        return size_of(self.path)

    @property
    def sources(self) -> tuple[Mapping[str, Any], ...]:
        """The user's files that the entry was made from, each as ``{path, size, mtime_ns}``."""
        return tuple(self.info.get("sources", ()))

    def record(self, name: str, value: Any) -> None:
        """Add a value to ``entry.json``; in a read-only cache nothing is added."""
        with contextlib.suppress(OSError, EntryDamaged):
            info = read_entry(self.kind, self.key, self.path).info
            write_entry(self.kind, self.key, self.path, {**info, name: value})


def size_of(path: Path) -> int:
    """Bytes of a file or of all files in a folder, as far as they can be seen."""
    with contextlib.suppress(OSError):
        if not stat.S_ISDIR(path.lstat().st_mode):
            return path.lstat().st_size
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(folder, name).lstat().st_size
    return total


def read_entry(kind: str, key: str, path: Path) -> CacheEntry:
    """The entry in the folder ``path``, as its ``entry.json`` says, without checking artefacts.

    Raises EntryDamaged.
    """
    file = path / ENTRY
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # a pipe would be waited for
            raise EntryDamaged(f"{ENTRY} is no file")
        with when_free(lambda: file.open("rb")) as opened:
            data = opened.read(MAX_ENTRY_BYTES + 1)
        info = json.loads(data) if len(data) <= MAX_ENTRY_BYTES else None
    except OSError as error:
        raise EntryDamaged(f"{ENTRY} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise EntryDamaged(f"{ENTRY} is not JSON") from None
    if isinstance(info, dict) and "check" not in info:
        raise EntryDamaged("another version of this program made it")
    if not isinstance(info, dict) or info.get("check") != _check_of(kind, key, info):
        raise EntryDamaged(f"{ENTRY} is not as it was written")
    return CacheEntry(kind, key, path, info)


def write_entry(kind: str, key: str, path: Path, info: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write ``entry.json`` whole or not at all; returns its contents. Raises OSError."""
    given = {name: value for name, value in info.items() if name != "check"}
    whole: dict[str, Any] = json.loads(json.dumps(given))  # as it will be read: lists for tuples
    whole["check"] = _check_of(kind, key, whole)
    with whole_file(path / ENTRY) as file:
        file.write(json.dumps(whole, indent=1, sort_keys=True).encode())
    return whole


def finish_artefacts(folder: Path) -> dict[str, dict[str, Any]]:
    """Flush every file of ``folder`` to the disk; returns what ``entry.json`` remembers of them.

    The digests are computed while the disk writes.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor(1) as pool:
        flushed = [pool.submit(flush_file, path) for path in files]
        artefacts = {}
        for path in files:
            found = path.stat()
            artefacts[path.relative_to(folder).as_posix()] = {
                "size": found.st_size,
                "sha256": digest_file(path),
                "mtime_ns": found.st_mtime_ns,
            }
        for future in flushed:
            future.result()
    return artefacts


def find_damage(entry: CacheEntry, *, digests: bool = False) -> str | None:
    """What is wrong with the artefacts, or None. ``digests``: compare every byte."""
    artefacts = entry.info.get("artefacts")
    if not isinstance(artefacts, dict):
        return "nothing is known of its files"
    for name, known in artefacts.items():
        if (problem := _damage_of(entry.path / name, known, digests)) is not None:
            return f"{name} {problem}"
    return None


def _damage_of(path: Path, known: Mapping[str, Any], digests: bool) -> str | None:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return "is no file"
        if found.st_size != known["size"]:
            return f"has {found.st_size} bytes instead of {known['size']}"
        same_time = _same_time(found.st_mtime_ns, known["mtime_ns"])
        if same_time and not digests:
            return None
        if digest_file(path) != known["sha256"]:
            return "has other contents than were written"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not same_time:  # copied, say: the next use need not read it all again
        with contextlib.suppress(OSError):
            os.utime(path, ns=(found.st_atime_ns, known["mtime_ns"]))
    return None


def _same_time(found: int, known: int) -> bool:
    """Archives and images of containers cut times to whole seconds."""
    return found == known or (found % _SECOND == 0 and found == known // _SECOND * _SECOND)


def _check_of(kind: str, key: str, info: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in info.items() if name != "check"}
    text = json.dumps([kind, key, rest], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()

"""The registry on disk: read without a lock, and changed whole or not at all.

The file is replaced by a rename, so a reader sees the old one or the new one. HiveLLM's own tool
writes it in place: what cannot be understood is read once more after a moment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ManifestError, RegistryError
from ..expert_home import expert_home
from ..manifest.parsing import parse_manifest
from ..storage.disk_space import is_disk_full
from ..storage.held_files import when_free
from ..storage.whole_files import whole_file
from ..strict_json.parsing import MAX_BYTES as MANIFEST_BYTES
from ..warn_once import warn_once
from .records import read_record
from .registry import MAX_BYTES, Registry, new_registry, parse_registry, version_entry

__all__ = ["Change", "RegistryFile", "now"]

_log = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 600.0
"""How long another process may hold the registry. It does so for a rename or two, not while
anything is downloaded."""

QUIET_S = 2.0
"""How long a lock is waited for without a word."""

SETTLING_S = 0.1
"""How long another tool may take to write the registry in place."""

MAX_READINGS = 20
"""Readings of a registry that changes all the time and is never whole."""

MAX_FOLDERS = 10_000
"""Folders of experts that are looked at for a registry that cannot be read."""


def now() -> str:
    """The time as the registry has it: RFC 3339, UTC, whole seconds."""
    moment = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0, tzinfo=None)
    return f"{moment.isoformat()}Z"


@dataclass
class Change:
    """A registry that is being changed; what ``registry`` is at the end is written.

    ``later`` is called, in order, after it was written: what nothing names any more is removed
    then.
    """

    registry: Registry
    later: list[Callable[[], object]] = field(default_factory=list)


class RegistryFile:
    """The registry in the folder ``root``. Creating the object touches nothing on disk."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        """``root`` is the folder that `expert_home` gives by default."""
        self.root = expert_home() if root is None else Path(root).absolute()

    @property
    def registry_path(self) -> Path:
        """The registry file. If it is a link, the file that it points to."""
        return Path(os.path.realpath(self.root / "expert-registry.json"))

    def read(self) -> Registry:
        """The registry; an empty one if there is none.

        If it cannot be understood, this is logged as a warning, and the experts in the folder of
        installed experts are taken for it. Raises RegistryError if it cannot be read at all.
        """
        found = self._settled()
        if found is None:
            return self._new()
        if isinstance(found, RegistryError):
            warn_once(
                _log,
                f"{found}\nThe registry is not changed, and what the folders hold is used "
                "instead. The next install puts the file aside and writes a new one.",
            )
            return self._recovered()
        for note in found.notes:
            warn_once(_log, note)
        return found

    def _settled(self) -> Registry | RegistryError | None:
        """The registry in the file, or why that cannot be understood; None if there is no file.

        Another tool may be writing it just now, so it is read until it stays the same.
        """
        data = self._bytes()
        for _ in range(MAX_READINGS):
            found = self._parsed(data)
            if not isinstance(found, RegistryError):
                break
            time.sleep(SETTLING_S)
            before, data = data, self._bytes()
            if data == before:
                break
        return found

    def _parsed(self, data: bytes | None) -> Registry | RegistryError | None:
        try:
            return None if data is None else parse_registry(data, source=str(self.registry_path))
        except RegistryError as error:
            return error

    def _bytes(self) -> bytes | None:
        try:
            with when_free(lambda: self.registry_path.open("rb")) as file:
                return file.read(MAX_BYTES + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self.explain(error) from error

    def _new(self) -> Registry:
        return new_registry(self.root / "experts", self.root / "models", now=now())

    def _recovered(self) -> Registry:
        """A registry of the packages in the folder of installed experts."""
        found: dict[str, list[dict[str, Any]]] = {}
        with contextlib.suppress(OSError):
            folder = self.root / "experts"
            # older tools put an expert into NAME, not into NAME/VERSION
            manifests = sorted([*folder.glob("*/*/manifest.json"), *folder.glob("*/manifest.json")])
            for path in manifests[:MAX_FOLDERS]:
                with contextlib.suppress(OSError, ManifestError), path.open("rb") as file:
                    manifest = parse_manifest(file.read(MANIFEST_BYTES + 1), source=str(path))
                    record = read_record(path.parent)
                    source = record.source if record else str(path.parent)
                    entry = version_entry(manifest, path.parent, source, size=0, now=now())
                    found.setdefault(manifest.name, []).append(entry)
        experts = [{"name": name, "versions": entries} for name, entries in found.items()]
        new = self._new()
        return dataclasses.replace(new, document={**new.document, "experts": experts})

    @contextlib.contextmanager
    def changing(self) -> Iterator[Change]:
        """Hold the lock; the registry that the block leaves in `Change` is written at its end.

        Nothing is written after an error. A registry that cannot be understood is put aside
        first. Raises RegistryError.
        """
        with self.locked():
            change = Change(self.read())
            before = change.registry
            yield change
            if change.registry is not before:
                self._write(change.registry)
            for call in change.later:
                self._tidy(call)

    def _tidy(self, call: Callable[[], object]) -> None:
        """Do what may fail without harm: the registry is right already."""
        try:
            call()
        except (OSError, RegistryError) as error:
            _log.warning("the registry was changed, but tidying up failed: %s", error)

    def _write(self, registry: Registry) -> None:
        place = self.registry_path
        try:
            data = registry.to_bytes(now=now(), like=self._new())
            parse_registry(data, source=str(place))  # what we write, we must be able to read
            self._put_aside_if_broken(place)
            place.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(place) as file:
                file.write(data)
        except UnicodeEncodeError:
            raise RegistryError(
                f"{place}: the path of a folder in it is not UTF-8\n"
                "Rename that folder, or set HIVELLM_EXPERTS to one with another name."
            ) from None
        except OSError as error:
            raise self.explain(error) from error

    def _put_aside_if_broken(self, place: Path) -> None:
        """Copy a registry that cannot be understood to a free name, before it is replaced."""
        if isinstance(self._settled(), RegistryError):
            names = (f"{place.stem}.broken-{n}{place.suffix}" for n in itertools.count(1))
            aside = next(path for name in names if not (path := place.with_name(name)).exists())
            with place.open("rb") as source, whole_file(aside) as file:
                shutil.copyfileobj(source, file)
            _log.warning("the registry that could not be read is now %s", aside)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        import filelock  # only used to change

        place = self.registry_path.with_name(f"{self.registry_path.name}.lock")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(place, timeout=LOCK_TIMEOUT_S)
            try:
                lock.acquire(timeout=min(QUIET_S, LOCK_TIMEOUT_S))
            except filelock.Timeout:
                _log.warning("waiting for another process that changes %s", self.root)
                lock.acquire()
        except filelock.Timeout:
            raise RegistryError(
                f"another process has held {place} for over {LOCK_TIMEOUT_S / 60:.0f} minutes\n"
                "If none is running, delete the file."
            ) from None
        except (OSError, NotImplementedError) as error:
            raise self.explain(error) from error
        try:
            yield
        finally:
            lock.release()

    def explain(self, error: OSError | NotImplementedError) -> RegistryError:
        """The error of the library that says what an error of the system means here."""
        reason = getattr(error, "strerror", None) or error
        where = getattr(error, "filename", None) or self.root
        if isinstance(error, OSError) and is_disk_full(error):
            return RegistryError(
                f"the disk of {self.root} is full\n"
                "Make room, or set HIVELLM_EXPERTS to a folder on another disk."
            )
        return RegistryError(
            f"cannot use {where}: {reason}\n"
            "Installed experts are kept there; set HIVELLM_EXPERTS to use another folder."
        )

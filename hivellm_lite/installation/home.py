"""The folder of installed experts on disk: its registry, its lock, and how both are changed.

::

    ~/.expert/
        expert-registry.json               what is installed
        expert-registry.json.lock          held while the registry is changed
        experts/expert-sql/0.3.0/          a package, unpacked
        experts/expert-sql/0.3.0.install.json   where it comes from (`records`)
        experts/expert-sql/current.txt     the version that was installed last
        experts/.installing-…/             work of a process that installs

The registry is replaced by a rename, so a reader sees the old one or the new one. It is changed
only after all that it will name is in its place, so a killed process leaves at most files that
nothing names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ManifestError, RegistryError
from ..expert_home import expert_home
from ..manifest.parsing import parse_manifest
from ..package.files import MANIFEST
from ..storage.disk_space import is_disk_full
from ..storage.whole_files import whole_file
from ..strict_json.parsing import MAX_BYTES as MANIFEST_BYTES
from .files import CURRENT
from .records import InstallRecord, read_record, record_of
from .registry import (
    MAX_BYTES,
    InstalledVersion,
    Registry,
    new_registry,
    parse_registry,
    version_entry,
)

__all__ = ["ExpertHome", "now"]

_log = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 600.0
"""How long another process may hold the registry. It does so for a rename or two, not while
anything is downloaded."""

QUIET_S = 2.0
"""How long a lock is waited for without a word."""

MAX_TOLD = 100
"""Warnings that are remembered, so as not to repeat them."""

MAX_FOLDERS = 10_000
"""Folders of experts that are looked at for a registry that cannot be read."""

_WORK = ".installing-"
_GRAVE = ".removed-"


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


class ExpertHome:
    """The folder ``root``. Creating the object touches nothing on disk."""

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        """``root`` is the folder that `expert_home` gives by default."""
        self.root = expert_home() if root is None else Path(root).absolute()

    @property
    def registry_path(self) -> Path:
        """The registry file. If it is a link, the file that it points to."""
        return Path(os.path.realpath(self.root / "expert-registry.json"))

    def folder(self, registry: Registry) -> Path:
        """The folder of installed experts."""
        named = registry.install_dir
        if named is not None and (named.is_dir() or named.parent.is_dir()):
            return named
        return self.root / "experts"

    # --- reading -----------------------------------------------------------------------

    def read(self) -> Registry:
        """The registry; an empty one if there is none.

        If it cannot be understood, this is logged as a warning, and the experts in the folder of
        installed experts are taken for it. Raises RegistryError if it cannot be read at all.
        """
        data = self._bytes()
        if data is None:
            return self._new()
        try:
            registry = parse_registry(data, source=str(self.registry_path))
        except RegistryError as error:
            _warn_once(
                f"{error}\nThe registry is not changed, and what the folders hold is used instead. "
                "The next install puts the file aside and writes a new one."
            )
            return self._recovered()
        for note in registry.notes:
            _warn_once(note)
        return registry

    def _bytes(self) -> bytes | None:
        try:
            with self.registry_path.open("rb") as file:
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
            manifests = sorted((self.root / "experts").glob("*/*/manifest.json"))
            for path in manifests[:MAX_FOLDERS]:
                with contextlib.suppress(OSError, ManifestError), path.open("rb") as file:
                    manifest = parse_manifest(file.read(MANIFEST_BYTES + 1), source=str(path))
                    record = read_record(path.parent)
                    source = record.source if record else str(path.parent)
                    entry = version_entry(manifest, path.parent, source, size=0, now=now())
                    found.setdefault(manifest.name, []).append(entry)
        experts = [{"name": name, "versions": entries} for name, entries in found.items()]
        return dataclasses.replace(
            new := self._new(), document={**new.document, "experts": experts}
        )

    # --- changing ----------------------------------------------------------------------

    @contextlib.contextmanager
    def changing(self) -> Iterator[Change]:
        """Hold the lock; the registry that the block leaves in `Change` is written at its end.

        Nothing is written after an error. A registry that cannot be understood is put aside
        first. Raises RegistryError.
        """
        with self._locked():
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
        data = self._bytes()
        if data is None:
            return
        try:
            parse_registry(data, source=str(place))
        except RegistryError:
            names = (f"{place.stem}.broken-{n}{place.suffix}" for n in itertools.count(1))
            aside = next(path for name in names if not (path := place.with_name(name)).exists())
            with place.open("rb") as source, whole_file(aside) as file:
                shutil.copyfileobj(source, file)
            _log.warning("the registry that could not be read is now %s", aside)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
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

    # --- folders -----------------------------------------------------------------------

    @contextlib.contextmanager
    def workplace(self, registry: Registry) -> Iterator[Path]:
        """An empty folder on the disk of the installed experts, removed at the end."""
        import filelock

        folder = self.folder(registry)
        work = folder / f"{_WORK}{uuid.uuid4().hex}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(_lock_of(work), timeout=0)
            with self._locked():  # who clears up must not find it before it is held
                lock.acquire()  # shows other processes that this one is alive
                work.mkdir()
        except (OSError, NotImplementedError) as error:
            raise self.explain(error) from error
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)
            lock.release()
            _lock_of(work).unlink(missing_ok=True)

    def is_inside(self, path: Path, folder: Path) -> bool:
        """Whether ``path`` is a real folder below ``folder``, that of the installed experts."""
        inside, real = Path(os.path.realpath(folder)), Path(os.path.realpath(path))
        is_link = os.path.islink(path)  # noqa: PTH114 - False, too, where nobody may look
        return not is_link and real != inside and real.is_relative_to(inside)

    def bury(self, path: Path, folder: Path) -> None:
        """Remove a folder below ``folder`` at once: it is renamed first, then deleted. The lock
        must be held.
        """
        grave = folder / f"{_GRAVE}{uuid.uuid4().hex}"
        try:
            if path.is_symlink():
                path.unlink()
                return
            path.rename(grave)
        except FileNotFoundError:
            return
        except OSError as error:
            raise self.explain(error) from error
        shutil.rmtree(grave, ignore_errors=True)

    def record(self, one: InstalledVersion, folder: Path) -> InstallRecord | None:
        """What is remembered of an installation, if nobody has installed something else there.

        A file beside a linked folder is its owner's, and proves nothing.
        """
        found = read_record(one.path) if self.is_inside(one.path, folder) else None
        return found if found is not None and found.source == one.source else None

    def forget_files(self, one: InstalledVersion, folder: Path) -> None:
        """Remove the files of an expert that no entry names any more, if they are ours to remove.

        They are if they are a package where installing puts one: in ``NAME/VERSION`` below
        ``folder``, or in ``NAME``, as older tools did. So neither a linked folder nor a registry
        that says strange things can make us remove anything else. The lock must be held.
        """
        real, place = Path(os.path.realpath(one.path)), _place_of(one.name, folder)
        if not self.is_inside(one.path, folder) or place not in (real, real.parent):
            return
        others = (Path(os.path.realpath(other.path)) for other in self.read().versions())
        if any(real in (other, *other.parents) for other in others):
            return  # another expert is there, or below
        if (real / MANIFEST).is_file():
            self.bury(real, folder)
        elif os.path.lexists(real):
            _log.warning("%s holds no package, so it was not removed", real)
            return
        record_of(real).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other versions are there
            place.rmdir()

    def write_current(self, name: str, version: str | None, folder: Path) -> None:
        """Note in ``current.txt`` which version was installed last; None removes the note.

        The lock must be held. Raises OSError.
        """
        place = _place_of(name, folder)
        if Path(os.path.realpath(place)).parent != place.parent:  # a link to elsewhere
            return
        if version is None:
            (place / CURRENT).unlink(missing_ok=True)
        elif place.is_dir():
            with whole_file(place / CURRENT) as file:
                file.write(version.encode())

    def remove_leftovers(self, registry: Registry) -> None:
        """Delete what killed processes left. The lock must be held.

        These are folders of work and graves. A whole package that nothing names stays, and is
        replaced when its version is installed: another tool may have lost the entry.
        """
        import filelock

        folder = self.folder(registry)
        with contextlib.suppress(OSError):
            for path in [*folder.glob(f"{_GRAVE}*"), *folder.glob(f"{_WORK}*.lock")]:
                if path.suffix != ".lock":
                    shutil.rmtree(path, ignore_errors=True)
                    continue
                with contextlib.suppress(filelock.Timeout), filelock.FileLock(path, timeout=0):
                    shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                    path.unlink(missing_ok=True)

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


_told: set[str] = set()


def _warn_once(text: str) -> None:
    """Log a warning unless this process has logged it: one command reads the file several times."""
    if text not in _told:
        if len(_told) > MAX_TOLD:
            _told.clear()
        _told.add(text)
        _log.warning("%s", text)


def _place_of(name: str, folder: Path) -> Path:
    """Where the versions of an expert are; ``name`` leads nowhere else."""
    return Path(os.path.realpath(folder), name)


def _lock_of(work: Path) -> Path:
    return work.with_name(f"{work.name}.lock")

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
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from ..package.files import MANIFEST
from ..storage.held_files import rename
from ..storage.whole_files import whole_file
from .files import CURRENT
from .records import InstallRecord, read_record, record_of
from .registry import InstalledVersion, Registry
from .registry_file import RegistryFile

__all__ = ["ExpertHome"]

_log = logging.getLogger(__name__)

_WORK = ".installing-"
_GRAVE = ".removed-"


class ExpertHome(RegistryFile):
    """The registry, and the folders of the experts that it names."""

    def folder(self, registry: Registry) -> Path:
        """The folder of installed experts."""
        named = registry.install_dir
        if named is not None and (named.is_dir() or named.parent.is_dir()):
            return named
        return self.root / "experts"

    @contextlib.contextmanager
    def workplace(self, registry: Registry) -> Iterator[Path]:
        """An empty folder on the disk of the installed experts, removed at the end."""
        import filelock

        folder = self.folder(registry)
        work = folder / f"{_WORK}{uuid.uuid4().hex}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(_lock_of(work), timeout=0)
            with self.locked():  # who clears up must not find it before it is held
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
            rename(path, grave)
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
                with contextlib.suppress(filelock.Timeout):
                    with filelock.FileLock(path, timeout=0):
                        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                    path.unlink(missing_ok=True)  # Windows removes no file that is open


def _place_of(name: str, folder: Path) -> Path:
    """Where the versions of an expert are; ``name`` leads nowhere else."""
    return Path(os.path.realpath(folder), name)


def _lock_of(work: Path) -> Path:
    return work.with_name(f"{work.name}.lock")

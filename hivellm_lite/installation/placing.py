"""Puts what was fetched and checked into place, and registers it, all in one change."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..errors import LoadError, RegistryError
from ..manifest.records import Manifest
from ..signing.verification import SignatureReport
from ..storage.held_files import rename
from .files import files_digest, flush_files
from .home import ExpertHome
from .records import InstallRecord, read_record, write_record
from .registry import InstalledVersion, Registry, version_entry
from .registry_file import Change, now
from .wanted import Prepared

__all__ = ["Outcome", "place"]


@dataclass(frozen=True)
class Outcome:
    """What became of one expert. ``change`` is "installed", "replaced", "linked" or "unchanged"."""

    name: str
    version: str
    path: Path
    change: str
    signature: SignatureReport
    notes: tuple[str, ...] = ()

    @property
    def identity(self) -> str:
        """``expert-sql@0.3.0``, for messages."""
        return f"{self.name}@{self.version}"


def place(
    home: ExpertHome, prepared: Sequence[Prepared], also: Callable[[Change], None] = lambda _: None
) -> tuple[Outcome, ...]:
    """Install what was prepared, all or nothing; ``also`` may change more in the same write.

    Raises RegistryError.
    """
    with home.changing() as change:
        try:
            home.remove_leftovers(change.registry)
            outcomes = tuple(_place(home, change, one) for one in prepared)
            also(change)
            return outcomes
        except OSError as error:
            raise home.explain(error) from error


def _place(home: ExpertHome, change: Change, one: Prepared) -> Outcome:
    manifest = one.manifest
    before = _entry_of(change.registry, manifest)
    folder = home.folder(change.registry)
    if one.link:
        place, what = one.folder, "linked"
    elif before is not None and _has(home, before.path, one, folder):
        place, what = before.path, "unchanged"
        write_record(place, _merged(one.record, read_record(place)))
    else:
        place = _free_place(home, change.registry, folder, one)
        flush_files(one.folder)
        write_record(place, one.record)
        rename(one.folder, place)
        what = "installed" if before is None else "replaced"
    weights = place / one.package.adapter.weights.relative_to(one.package.root)
    entry = version_entry(
        manifest, place, one.record.source, size=weights.stat().st_size, now=now()
    )
    change.registry = change.registry.with_version(manifest.name, entry)
    if before is not None and before.path != place:
        change.later.append(partial(home.forget_files, before, folder))
    change.later.append(partial(home.write_current, manifest.name, manifest.version, folder))
    return Outcome(
        manifest.name,
        manifest.version,
        place,
        what,
        one.package.signature,
        one.package.notes,
    )


def _has(home: ExpertHome, path: Path, one: Prepared, folder: Path) -> bool:
    """Whether an installed folder has exactly these files."""
    try:
        return home.is_inside(path, folder) and files_digest(path) == one.record.files
    except (OSError, LoadError):
        return False


def _free_place(home: ExpertHome, registry: Registry, folder: Path, one: Prepared) -> Path:
    """A place that no entry names: ``0.3.0``, or ``0.3.0+1a2b3c4d5e6f`` while that is used.

    What stands there without an entry was left by a process that was killed, or by another
    tool that lost it; it is removed.
    """
    parent, version = folder / one.manifest.name, one.manifest.version
    parent.mkdir(parents=True, exist_ok=True)
    if not home.is_inside(parent, folder):
        raise RegistryError(
            f"{parent} is a link to a folder elsewhere\n"
            "Experts are installed, and removed, only below the folder of installed experts. "
            "Remove the link."
        )
    named = {os.path.realpath(installed.path) for installed in registry.versions()}
    names = (version, f"{version}+{one.record.files[:12]}", f"{version}+{os.urandom(6).hex()}")
    place = next(
        path
        for name in names
        if os.path.realpath(path := parent / name) not in named and _is_free(path)
    )
    if os.path.lexists(place):
        home.bury(place, folder)
    return place


def _is_free(place: Path) -> bool:
    """Whether nothing is there, or a package or a link, which may go."""
    return not os.path.lexists(place) or place.is_symlink() or (place / "manifest.json").is_file()


def _entry_of(registry: Registry, manifest: Manifest) -> InstalledVersion | None:
    """The entry of this version. Raises RegistryError if only the case of a name differs: some
    file systems have one folder for both.
    """
    for one in registry.versions():
        if one.name == manifest.name and one.version.casefold() == manifest.version.casefold():
            if one.version != manifest.version:
                raise _differs_in_case(manifest.identity, one.identity)
            return one
        if one.name != manifest.name and one.name.casefold() == manifest.name.casefold():
            raise _differs_in_case(manifest.identity, one.identity)
    return None


def _differs_in_case(new: str, old: str) -> RegistryError:
    return RegistryError(
        f"cannot install {new}: {old} is installed, and the names differ only in case\n"
        f"Uninstall that first: hivellm-lite uninstall {old}"
    )


def _merged(new: InstallRecord, old: InstallRecord | None) -> InstallRecord:
    """The record of files that are the same: a lock's base stays unless another is given, and a
    signer who was known stays if nobody has looked now.
    """
    if old is None:
        return new
    return dataclasses.replace(new, base=new.base or old.base, key=new.key or old.key)

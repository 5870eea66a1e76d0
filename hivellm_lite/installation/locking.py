"""From installed experts to a lock file, and from a lock file to what is to be installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import PackageError, RegistryError
from ..sources.source import ArchiveFile, Folder, parse_source
from .files import files_digest
from .home import ExpertHome
from .lock_file import LockedExpert
from .names import newest_of_each, required
from .records import InstallRecord
from .registry import InstalledVersion
from .wanted import Wanted

__all__ = ["lock_experts", "wanted_of"]

PinBase = Callable[[InstalledVersion], "str | None"]
"""The repository and commit of the base of an expert; None if neither is known."""


def lock_experts(
    home: ExpertHome, names: Sequence[str], *, beside: Path, pin_base: PinBase
) -> tuple[LockedExpert, ...]:
    """The newest version of every installed expert, or the versions that ``names`` fit.

    ``beside`` is the folder of the lock file. Raises RegistryError for an expert that is linked,
    changed since it was installed, or comes from a place that others cannot reach.
    """
    registry = home.read()
    versions, folder = registry.versions(), home.folder(registry)
    chosen = [required(text, versions)[0] for text in names] or newest_of_each(versions)
    chosen.sort(key=lambda one: one.name)
    return tuple(
        _locked(
            one,
            home.record(one, folder),
            beside,
            pin_base,
            linked=not home.is_inside(one.path, folder),
        )
        for one in dict.fromkeys(chosen)
    )


def _locked(
    one: InstalledVersion,
    record: InstallRecord | None,
    beside: Path,
    pin_base: PinBase,
    *,
    linked: bool,
) -> LockedExpert:
    if linked:
        raise RegistryError(
            f"{one.identity} is linked to {one.path}: its bytes may change at any time\n"
            "Install it from a package, then lock it."
        )
    if record is None:
        raise RegistryError(
            f"{one.identity} was installed by another tool, which did not note its bytes\n"
            f"Install it again: hivellm-lite install {one.source or 'SOURCE'}"
        )
    if record.files != files_digest(one.path):
        raise RegistryError(
            f"{one.identity} was changed after it was installed: {one.path}\n"
            f"Install it again: hivellm-lite install {one.source}"
        )
    source = _relative(record.pinned or record.source, beside)
    if not source.isprintable():
        raise RegistryError(
            f"{one.identity}: a lock file cannot hold its source, {source!r}\n"
            "Rename the file or folder, install it again, then lock it."
        )
    return LockedExpert(
        name=one.name,
        version=one.version,
        source=source,
        files=record.files,
        sha256=record.sha256,
        key=record.key,
        base=record.base or pin_base(one),
    )


def _relative(source: str, beside: Path) -> str:
    """A path below the folder of the lock file as a relative one; everything else unchanged."""
    try:
        parsed = parse_source(source)
    except PackageError:  # it may be gone
        return source
    if isinstance(parsed, (ArchiveFile, Folder)):
        path, top = Path(os.path.realpath(parsed.path)), Path(os.path.realpath(beside))
        if path.is_relative_to(top):
            return f"./{path.relative_to(top).as_posix()}"
    return source


def wanted_of(locked: Sequence[LockedExpert], *, beside: Path) -> tuple[Wanted, ...]:
    """What is to be installed for a lock file in the folder ``beside``."""
    return tuple(
        Wanted(
            str(beside / one.source) if one.source.startswith("./") else one.source,
            recorded=True,
            name=one.name,
            version=one.version,
            sha256=one.sha256,
            files=one.files,
            base=one.base,
            key=one.key,
        )
        for one in locked
    )

"""Uninstalls experts: first from the registry, then from the disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..errors import ManifestError, RegistryError
from ..manifest.compatibility import dependants
from ..manifest.parsing import parse_manifest
from ..manifest.records import Manifest
from ..manifest.requirements import parse_requirement
from ..storage.whole_files import whole_file
from ..strict_json.parsing import MAX_BYTES
from .files import CURRENT
from .home import Change, ExpertHome
from .names import matching, not_installed
from .registry import InstalledVersion

__all__ = ["dependants_of", "installed_manifest", "remove", "uninstall", "write_current"]


def uninstall(home: ExpertHome, text: str, *, force: bool = False) -> tuple[InstalledVersion, ...]:
    """Uninstall every version that fits ``text``; returns them.

    Linked folders stay on the disk. Raises RegistryError if nothing fits, or if another installed
    expert requires one of these, unless ``force``.
    """
    asked = parse_requirement(text)
    with home.changing() as change:
        versions = change.registry.versions()
        leaving = matching(asked, versions) if asked is not None else ()
        if not leaving:
            raise RegistryError(not_installed(text, asked, versions))
        remaining = [one for one in versions if one not in leaving]
        if not force and (needed := dependants_of(leaving, remaining)):
            raise RegistryError(
                f"cannot uninstall {text}: {', '.join(needed)} needs it (constraints.requires)\n"
                "Uninstall that first, or use --force."
            )
        remove(home, change, leaving)
        home.remove_leftovers(change.registry)
    return leaving


def remove(home: ExpertHome, change: Change, leaving: Sequence[InstalledVersion]) -> None:
    """Take versions out of the registry; their files go after it was written."""
    folder = home.folder(change.registry)
    for one in leaving:
        change.registry = change.registry.without_version(one.name, one.version)
    for name in dict.fromkeys(one.name for one in leaving):
        left = [one for one in change.registry.versions() if one.name == name]
        newest = left[0].version if left else None
        change.later.append(partial(write_current, folder / name, newest))
    change.later += [partial(home.forget_files, one.path, folder) for one in leaving]


def write_current(parent: Path, version: str | None) -> None:
    """Note in ``current.txt`` which version was installed last; None removes the note."""
    place = parent / CURRENT
    if version is None:
        place.unlink(missing_ok=True)
    elif parent.is_dir():
        with whole_file(place) as file:
            file.write(version.encode())


def dependants_of(
    leaving: Sequence[InstalledVersion], remaining: Sequence[InstalledVersion]
) -> tuple[str, ...]:
    """Which experts of ``remaining`` require one of ``leaving`` that no other one replaces."""
    manifests = [found for one in remaining if (found := installed_manifest(one)) is not None]
    gone = [found for one in leaving if (found := installed_manifest(one)) is not None]
    needing = (found.identity for one in gone for found in dependants(one, manifests))
    return tuple(dict.fromkeys(needing))


def installed_manifest(one: InstalledVersion) -> Manifest | None:
    """The manifest of an installed expert; None if it cannot be read."""
    path = one.path / "manifest.json"
    try:
        with path.open("rb") as file:
            return parse_manifest(file.read(MAX_BYTES + 1), source=str(path))
    except (OSError, ManifestError):
        return None

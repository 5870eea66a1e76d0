"""Uninstalls experts: first from the registry, then from the disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..errors import ManifestError, RegistryError
from ..manifest.compatibility import dependants
from ..manifest.parsing import parse_manifest
from ..manifest.records import Manifest
from ..strict_json.parsing import MAX_BYTES
from .home import ExpertHome
from .names import required
from .registry import InstalledVersion
from .registry_file import Change

__all__ = ["dependants_of", "installed_manifest", "remove", "uninstall"]


def uninstall(home: ExpertHome, *texts: str, force: bool = False) -> tuple[InstalledVersion, ...]:
    """Uninstall every version that fits one of ``texts``, or nothing; returns them.

    Linked folders stay on the disk. Raises RegistryError if nothing fits one of them, or if an
    expert that stays requires one of these, unless ``force``.
    """
    with home.changing() as change:
        versions = change.registry.versions()
        found: dict[InstalledVersion, None] = {}
        for text in texts:
            found.update(dict.fromkeys(required(text, versions)))
        leaving = tuple(found)
        remaining = [one for one in versions if one not in found]
        if not force and (needed := dependants_of(leaving, remaining)):
            raise RegistryError(
                f"cannot uninstall {', '.join(texts)}: {', '.join(needed)} needs it "
                "(constraints.requires)\nUninstall that first, or use --force."
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
        change.later.append(partial(home.write_current, name, newest, folder))
    change.later += [partial(home.forget_files, one, folder) for one in leaving]


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

"""What an update would change, and the change itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..errors import ExpertError
from ..manifest.requirements import Requirement
from ..manifest.version_ranges import parse_version
from ..sources.settings import Settings
from .home import ExpertHome
from .names import newest_of_each, required
from .placing import Outcome, place
from .preparing import Preparer
from .records import InstallRecord
from .registry import InstalledVersion
from .registry_file import Change
from .removal import dependants_of, remove
from .requires import find_source
from .wanted import Prepared, Wanted

__all__ = ["Update", "apply_updates", "plan_updates"]


@dataclass(frozen=True)
class Update:
    """What became known about one installed expert.

    ``kind`` is "newer", "other bytes" (the same version), "current", "linked", "pinned" (its
    source always gives the same bytes), or "refused" with a ``reason``. ``prepared`` is what
    would be installed.
    """

    installed: InstalledVersion
    kind: str
    reason: str = ""
    prepared: Prepared | None = None

    @property
    def to(self) -> str:
        """The version that would be installed, or the one that is."""
        return self.prepared.manifest.version if self.prepared else self.installed.version


def plan_updates(
    home: ExpertHome,
    preparer: Preparer,
    names: Sequence[str],
    settings: Settings,
    *,
    force: bool = False,
) -> tuple[Update, ...]:
    """Look at the sources of the newest version of every expert, or of those that are named.

    For an expert that was installed by its name, the index that named its source is asked.

    ``force`` allows an older version than the installed one, and a package that is signed by
    somebody else, or no longer. Raises RegistryError for a name that is not installed.
    """
    registry = home.read()
    versions, folder = registry.versions(), home.folder(registry)
    wanted = [required(text, versions)[0] for text in names] or newest_of_each(versions)
    return tuple(
        Update(one, "linked")
        if not home.is_inside(one.path, folder)
        else _look(one, home.record(one, folder), preparer, settings, force=force)
        for one in dict.fromkeys(wanted)
    )


def _look(
    one: InstalledVersion,
    record: InstallRecord | None,
    preparer: Preparer,
    settings: Settings,
    *,
    force: bool,
) -> Update:
    if not one.source:
        return Update(one, "refused", "the registry does not say where it comes from")
    wanted = Wanted(one.source, recorded=True, name=one.name, base=record.base if record else None)
    if record is not None and record.index is not None:
        listed = _listed(one, record.index, preparer, settings)
        if listed is None:
            return Update(one, "refused", f"{record.index} does not list it, or is not configured")
        if listed.version == one.version:
            return Update(one, "current")
        wanted = replace(listed, base=wanted.base)
    elif record is not None and record.pinned == record.source:
        return Update(one, "pinned")
    try:
        found = preparer.prepare(wanted)
    except ExpertError as error:
        return Update(one, "refused", str(error))
    if record is not None and record.files == found.record.files:
        return Update(one, "current")
    reason = "" if force else _objection(one, record, found)
    if reason:
        return Update(one, "refused", reason, found)
    same = found.manifest.version == one.version
    return Update(one, "other bytes" if same else "newer", "", found)


def _listed(
    one: InstalledVersion, index: str, preparer: Preparer, settings: Settings
) -> Wanted | None:
    """The newest version that the index has of this expert."""
    asked = Requirement(one.name, one.name, ())
    return find_source(asked, settings, offline=preparer.checks.hub.offline, index=index)


def _objection(one: InstalledVersion, record: InstallRecord | None, found: Prepared) -> str:
    """Why an update is not installed unless it is forced."""
    now, then = parse_version(found.manifest.version), parse_version(one.version)
    if now is not None and then is not None and now < then:
        return f"its source has the older version {found.manifest.version}"
    key = record.key if record else None
    if key is not None and found.record.key != key:
        by = f"by {found.record.key}" if found.record.key else "by nobody who could be verified"
        return f"it was signed by {key}, and {found.manifest.identity} is signed {by}"
    return ""


def apply_updates(
    home: ExpertHome, updates: Sequence[Update], more: Sequence[Prepared]
) -> tuple[Outcome, ...]:
    """Install what ``updates`` found, and ``more`` that these require.

    The version before goes, unless another installed expert needs just that one.
    """
    ready = [one for one in updates if one.prepared is not None and one.kind != "refused"]

    def remove_old(change: Change) -> None:
        for update in ready:
            old = update.installed
            if update.to == old.version or old not in change.registry.versions():
                continue
            remaining = [one for one in change.registry.versions() if one != old]
            if not dependants_of([old], remaining):
                remove(home, change, [old])

    found = [one.prepared for one in ready if one.prepared]
    return place(home, [*more, *found], remove_old)

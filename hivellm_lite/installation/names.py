"""Finds an installed expert by the name that a user writes: ``sql``, ``expert-sql@>=0.2,<1``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import RegistryError
from ..manifest.requirements import Requirement
from ..user_paths import path_exists
from .asked import asked_for, asked_name
from .home import ExpertHome
from .records import read_record
from .registry import InstalledVersion

__all__ = [
    "find_installed",
    "installed_experts",
    "installed_folder",
    "locked_base",
    "matching",
    "newest_of_each",
    "not_installed",
    "required",
]

PREFIX = "expert-"
"""``sql`` also means ``expert-sql``, as in HiveLLM's tool."""

NAMES_SHOWN = 10
"""Installed experts that one error lists."""


def installed_experts(home: ExpertHome | None = None) -> tuple[InstalledVersion, ...]:
    """All installed versions: by name, the newest first. Raises RegistryError."""
    return (home or ExpertHome()).read().versions()


def matching(
    asked: Requirement, versions: Sequence[InstalledVersion]
) -> tuple[InstalledVersion, ...]:
    """The installed versions that fit, the newest first; releases before pre-releases.

    ``sql`` is ``expert-sql`` unless an expert is called ``sql``. Names that differ only in case
    are the same name, unless one is spelled exactly as asked. Names and versions that no
    requirement can tell, such as ``a@b`` and ``expert-sql@latest``, are compared as texts.
    """
    fit: list[InstalledVersion] = []
    for name in (asked.name, PREFIX + asked.name):
        same = [one for one in versions if one.name.casefold() == name.casefold()]
        found = [one for one in same if one.name == name] or same
        if found:
            fit = [one for one in found if asked.allows(one.version, unknown=False)]
            break
    if not fit:
        texts = [asked.text.strip(), PREFIX + asked.text.strip()]
        fit = [one for one in versions if one.name in texts or one.identity in texts]
    return tuple(sorted(fit, key=lambda one: (one.place[0].release, one.place), reverse=True))


def find_installed(text: str, home: ExpertHome | None = None) -> InstalledVersion:
    """The newest installed version that fits ``text``.

    Raises RegistryError if none does, with what is installed.
    """
    return required(text, installed_experts(home))[0]


def required(text: str, versions: Sequence[InstalledVersion]) -> tuple[InstalledVersion, ...]:
    """The versions that fit ``text``, as `matching` orders them.

    Raises RegistryError if none does, with what is installed.
    """
    asked = asked_for(text)
    if found := matching(asked, versions):
        return found
    raise RegistryError(not_installed(text, asked, versions))


def newest_of_each(versions: Sequence[InstalledVersion]) -> list[InstalledVersion]:
    """The first version of each expert in ``versions``, which are as the registry orders them."""
    return list({one.name: one for one in reversed(versions)}.values())


def installed_folder(text: str | os.PathLike[str], home: ExpertHome | None = None) -> Path | None:
    """The folder of the installed expert that ``text`` names; None if it names none.

    Raises RegistryError if the expert is installed but its folder is gone, or if only other
    versions are installed.
    """
    asked = asked_name(text)
    if asked is None:
        return None
    versions = installed_experts(home)
    if found := matching(asked, versions):
        if not path_exists(found[0].path):
            raise RegistryError(
                f"{found[0].identity} is installed, but {found[0].path} is gone\n"
                f"Install it again: hivellm-lite install {found[0].source or 'SOURCE'}"
            )
        return found[0].path
    if asked.intervals and matching(Requirement(asked.name, asked.name, ()), versions):
        raise RegistryError(not_installed(str(text), asked, versions))
    return None


def locked_base(folder: Path, home: ExpertHome | None = None) -> str | None:
    """The base that a lock file asked for, ``owner/repository@commit``, for the expert installed
    in ``folder``; None if there is none, or if nothing is installed there.
    """
    record = read_record(folder)
    if record is None or record.base is None:
        return None
    home = home or ExpertHome()
    registry = home.read()
    one = next((one for one in registry.versions() if one.path == folder), None)
    known = home.record(one, home.folder(registry)) if one is not None else None
    return known.base if known is not None else None


def not_installed(text: str, asked: Requirement, versions: Sequence[InstalledVersion]) -> str:
    """What to say where no installed version fits ``text``."""
    same = matching(Requirement(text, asked.name, ()), versions)
    shown = same or versions
    listed = ", ".join(one.identity for one in shown[:NAMES_SHOWN])
    more = f" and {len(shown) - NAMES_SHOWN} more" if len(shown) > NAMES_SHOWN else ""
    if same:
        return f"{text}: no such version is installed\nInstalled: {listed}{more}"
    return (
        f"{text}: no installed expert has this name\nInstalled: {listed or 'none'}{more}\n"
        "'hivellm-lite search' looks for experts, 'hivellm-lite install' installs one."
    )

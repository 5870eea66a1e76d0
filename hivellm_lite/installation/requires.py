"""Brings the experts that others require, from the indexes or from HiveLLM's repositories."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ..errors import ExpertError, PackageError
from ..manifest.records import Manifest
from ..manifest.requirements import Requirement, parse_requirement
from ..sources.index import candidates
from ..sources.settings import Settings
from .names import PREFIX
from .preparing import Preparer
from .registry import InstalledVersion
from .wanted import Prepared, Wanted

__all__ = ["find_source", "with_required"]

MAX_TRIED = 32
"""Most experts that one installation tries to bring along. Real ones require one or two."""

MAX_TOLD = 20
"""Requirements that one error lists; a hostile manifest has thousands."""

_TOO_MANY = f"{MAX_TRIED} others were tried"

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def find_source(
    asked: Requirement, settings: Settings, *, offline: bool, index: str | None = None
) -> Wanted | None:
    """Where the indexes, or just ``index``, say that the newest fitting version of an expert is.

    ``sql`` is ``expert-sql`` unless an index has an expert called ``sql``.
    """
    names = (asked.name, PREFIX + asked.name)
    for one in candidates(names, settings, offline=offline):  # the newest first
        if asked.allows(one.version, unknown=False) and index in (None, one.index):
            return Wanted(
                one.source,
                recorded=True,
                name=one.name,
                version=one.version,
                sha256=one.sha256,
                key=one.publisher_key,
                index=one.index,
            )
    return None


def with_required(
    preparer: Preparer,
    prepared: Sequence[Prepared],
    installed: Sequence[InstalledVersion],
    settings: Settings,
) -> tuple[Prepared, ...]:
    """``prepared``, after everything that it requires and that is not installed.

    Raises PackageError that lists each requirement that cannot be met, with the reason.
    """
    all_of_them = list(prepared)
    problems: list[str] = []
    n_tried = 0
    for needing in all_of_them:  # which grows
        for asked in _unmet(needing.manifest, [one.manifest for one in all_of_them], installed):
            n_tried += 1
            found = _bring(preparer, asked, settings) if n_tried <= MAX_TRIED else _TOO_MANY
            if isinstance(found, Prepared):
                all_of_them.append(found)
            else:
                problems.append(f"  {needing.manifest.identity} requires {asked.text}: {found}")
    if problems:
        if len(problems) > MAX_TOLD:
            tried = f"; {_TOO_MANY}" if n_tried > MAX_TRIED else ""
            problems[MAX_TOLD:] = [f"  and {len(problems) - MAX_TOLD} more{tried}"]
        raise PackageError(
            "\n".join(["nothing was installed: required experts cannot be had", *problems])
            + "\nInstall them yourself first, or pass --no-requires; then they are missing "
            "when experts are loaded together."
        )
    # what was found last is required by what was found first
    return tuple(reversed(all_of_them[len(prepared) :])) + tuple(prepared)


def _bring(preparer: Preparer, asked: Requirement, settings: Settings) -> Prepared | str:
    """What was fetched and checked, or why that failed."""
    try:
        found = preparer.prepare(_source_of(asked, settings, preparer.checks.hub.offline))
    except ExpertError as error:
        return str(error).splitlines()[0]
    if not asked.names(found.manifest.name) or not asked.allows(
        found.manifest.version, unknown=True
    ):
        return f"{found.manifest.identity} was found instead"
    return found


def _unmet(
    needing: Manifest, prepared: Sequence[Manifest], installed: Sequence[InstalledVersion]
) -> Iterator[Requirement]:
    for text in needing.constraints.requires:
        asked = parse_requirement(text)
        if asked is None:  # a slip in metadata; `inspect` names it
            continue
        there = [(one.name, one.version) for one in prepared]
        there += [(one.name, one.version) for one in installed]
        if not any(asked.names(name) and asked.allows(at, unknown=True) for name, at in there):
            yield asked


def _source_of(asked: Requirement, settings: Settings, offline: bool) -> Wanted:
    if (found := find_source(asked, settings, offline=offline)) is not None:
        return found
    if not _REPOSITORY.fullmatch(asked.name):
        raise PackageError(f"{asked.name!r} cannot be the name of a repository")
    return Wanted(settings.requires_url.replace("{name}", asked.name))

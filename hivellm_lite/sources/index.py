"""Finds experts in the indexes that the user has configured."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..manifest.version_ranges import Version
from ..warn_once import warn_once
from .index_entries import Index, IndexedExpert
from .index_files import read_indexes
from .settings import Settings

__all__ = ["IndexedExpert", "candidates", "search"]

_logger = logging.getLogger(__name__)

_EXACT, _IN_NAME, _IN_CAPABILITIES, _IN_DESCRIPTION = 100, 10, 3, 1


def candidates(
    names: Sequence[str], settings: Settings, *, offline: bool, cache_root: Path | None = None
) -> tuple[IndexedExpert, ...]:
    """All versions of the expert with the first of ``names`` that any expert has: releases before
    pre-releases, the newest first.

    An index that cannot be read is left out, with a warning in the log.
    """
    indexes, warnings = read_indexes(settings.indexes, offline=offline, cache_root=cache_root)
    for warning in (*warnings, *(note for index in indexes for note in index.notes)):
        warn_once(_logger, warning)
    experts = _merged(indexes)
    for name in names:
        if found := [expert for expert in experts if expert.name == name]:
            return tuple(sorted(found, key=_age, reverse=True))
    return ()


def search(words: Sequence[str], indexes: Iterable[Index]) -> tuple[IndexedExpert, ...]:
    """The newest version of every expert that all ``words`` fit, the best first.

    A word fits if it is a part of the name, which counts most, of a capability, or of the
    description, whatever its case. Without words it is all of them.
    """
    newest: dict[str, IndexedExpert] = {}
    for expert in _merged(indexes):
        known = newest.get(expert.name)
        if known is None or _age(expert) > _age(known):
            newest[expert.name] = expert
    wanted = [word.casefold() for text in words for word in text.split()]
    ranked = []
    for expert in newest.values():
        points = [_points(word, expert) for word in wanted]
        if all(points):
            ranked.append((-sum(points), expert.name, expert))
    return tuple(expert for _, _, expert in sorted(ranked, key=lambda entry: entry[:2]))


def _merged(indexes: Iterable[Index]) -> list[IndexedExpert]:
    """Every version once: of equal ones, that of the first index."""
    found: dict[tuple[str, str], IndexedExpert] = {}
    for index in indexes:
        for expert in index.experts:
            found.setdefault((expert.name, expert.version), expert)
    return list(found.values())


def _age(expert: IndexedExpert) -> tuple[bool, Version]:
    """Pre-releases are older than all releases."""
    return (expert.order.release, expert.order)


def _points(word: str, expert: IndexedExpert) -> int:
    name = expert.name.casefold()
    if word in (name, name.removeprefix("expert-")):
        return _EXACT
    if word in name:
        return _IN_NAME
    if any(word in capability.casefold() for capability in expert.capabilities):
        return _IN_CAPABILITIES
    return _IN_DESCRIPTION if word in expert.description.casefold() else 0

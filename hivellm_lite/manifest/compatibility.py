"""Which experts may be loaded together, by the ``constraints`` of their manifests.

An entry of ``requires`` or ``incompatible_with`` has the name that stands in the
other expert's manifest, and often a range of versions (`requirements`).

An entry that cannot be read is ignored: a slip in metadata must not make a published package
unusable. `unreadable` lists such entries, for a log or a page that shows them.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import Literal

from ..errors import InferenceError, LoadError
from ..strict_json.parsing import shown
from .records import Manifest
from .requirements import Requirement, parse_requirement
from .version_ranges import parse_version

__all__ = ["check_loadable", "check_together", "dependants", "sort_by_load_order", "unreadable"]

MAX_ENTRIES = 256
"""Entries of a list that are read; a hostile manifest has hundreds of thousands."""

MAX_REASONS_SHOWN = 20
"""Reasons that one error lists."""


def check_loadable(new: Manifest, loaded: Sequence[Manifest]) -> None:
    """Check that ``new`` may be loaded beside ``loaded``, which does not contain it.

    Raises LoadError with every reason against it: a required expert that is missing or has
    another version, and an incompatibility that either side declares.
    """
    _refuse(f"cannot load {new.identity}", [*_unmet(new, loaded), *_incompatible(new, loaded)])


def check_together(manifests: Sequence[Manifest]) -> None:
    """Check that experts may answer one prompt together.

    Raises InferenceError where a ``max_chain`` (most experts together, itself included;
    0: no limit) of any of them is exceeded.
    """
    names = ", ".join(manifest.identity for manifest in manifests)
    _refuse(f"cannot use {names} together", [*_too_many(manifests)], InferenceError)


def _refuse(
    refusal: str, reasons: Sequence[str], kind: type[LoadError | InferenceError] = LoadError
) -> None:
    if not reasons:
        return
    if len(reasons) == 1:
        raise kind(f"{refusal}: {reasons[0]}")
    lines = [f"  {reason}" for reason in reasons[:MAX_REASONS_SHOWN]]
    if len(reasons) > MAX_REASONS_SHOWN:
        lines.append(f"  and {len(reasons) - MAX_REASONS_SHOWN} more")
    raise kind("\n".join([f"{refusal}: {len(reasons)} constraints forbid it", *lines]))


def dependants(leaving: Manifest, remaining: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """The manifests in ``remaining`` that require ``leaving`` and that no other one satisfies."""
    return tuple(
        manifest
        for manifest in remaining
        if any(
            _covers(entry, leaving, unknown=True)
            and not any(_covers(entry, other, unknown=True) for other in remaining)
            for entry in _entries(manifest, "requires")
        )
    )


def sort_by_load_order(manifests: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """``manifests`` in an order in which they can be loaded, the same for any input order.

    An expert comes after the experts that it requires. Otherwise the lower ``load_order`` comes
    first (none: last), then the name and the version decide. The same order decides among experts
    that require each other in a circle, and among experts that wait for such a circle.
    """
    by_name: dict[str, list[int]] = {}
    for index, manifest in enumerate(manifests):
        by_name.setdefault(manifest.name.casefold(), []).append(index)
    waits_for: list[set[int]] = []
    needed_by: list[list[int]] = [[] for _ in manifests]
    for index, manifest in enumerate(manifests):
        waits_for.append(
            {
                other
                for entry in _entries(manifest, "requires")
                for other in by_name.get(entry.name.casefold(), ())
                if other != index and _covers(entry, manifests[other], unknown=True)
            }
        )
        for other in waits_for[index]:
            needed_by[other].append(index)

    def place(index: int) -> tuple[float, str, str, int]:
        manifest = manifests[index]
        order = manifest.constraints.load_order
        return (math.inf if order is None else order, manifest.name, manifest.version, index)

    ready = [place(index) for index, waits in enumerate(waits_for) if not waits]
    heapq.heapify(ready)
    waiting = sorted(place(index) for index, waits in enumerate(waits_for) if waits)
    taken: dict[int, Manifest] = {}
    while len(taken) < len(manifests):
        # Nothing is ready: what waits is in a circle or behind one.
        *_, index = heapq.heappop(ready) if ready else waiting.pop(0)
        if index in taken:
            continue
        taken[index] = manifests[index]
        for other in needed_by[index]:
            waits_for[other].discard(index)
            if not waits_for[other]:
                heapq.heappush(ready, place(other))
    return tuple(taken.values())


def unreadable(manifest: Manifest) -> tuple[str, ...]:
    """The parts of a manifest's constraints that are ignored, each with its place in the file."""
    notes = []
    if parse_version(manifest.version) is None:
        notes.append(
            f"$.version: {shown(manifest.version)} is no semantic version such as 1.2.0;"
            " ranges that other experts ask for count as met"
        )
    for field in _FIELDS:
        texts = getattr(manifest.constraints, field)
        for index, text in enumerate(texts[:MAX_ENTRIES]):
            if parse_requirement(text) is None:
                notes.append(
                    f"$.constraints.{field}[{index}]: {shown(text)} was ignored,"
                    ' expected a name or one with versions: "english-basic@>=1.0.0"'
                )
        if len(texts) > MAX_ENTRIES:
            notes.append(f"$.constraints.{field}: only {MAX_ENTRIES} of {len(texts)} are read")
    return tuple(notes)


_Field = Literal["requires", "incompatible_with"]
_FIELDS: tuple[_Field, ...] = ("requires", "incompatible_with")


def _unmet(new: Manifest, loaded: Sequence[Manifest]) -> Iterator[str]:
    for entry in _entries(new, "requires"):
        if any(_covers(entry, manifest, unknown=True) for manifest in (new, *loaded)):
            continue
        required = f"it requires {shown(entry.text)} (constraints.requires)"
        others = ", ".join(manifest.identity for manifest in loaded if entry.names(manifest.name))
        if others:
            yield f"{required}, not met by the loaded {others}: load such a version first"
        else:
            yield f"{required}, which is not loaded: load it first"


def _incompatible(new: Manifest, loaded: Sequence[Manifest]) -> Iterator[str]:
    field: _Field = "incompatible_with"
    for entry in _entries(new, field):
        for other in loaded:
            if _covers(entry, other, unknown=False):
                yield (
                    f"it is incompatible with {shown(entry.text)} (constraints.{field}),"
                    f" and {other.identity} is loaded: unload that first"
                )
    for other in loaded:
        for entry in _entries(other, field):
            if _covers(entry, new, unknown=False):
                yield (
                    f"{other.identity} is loaded and incompatible with {shown(entry.text)}"
                    f" (its constraints.{field}): unload it first"
                )


def _too_many(manifests: Sequence[Manifest]) -> Iterator[str]:
    for manifest in manifests:
        most = manifest.constraints.max_chain
        if most and len(manifests) > most:
            yield (
                f"constraints.max_chain of {manifest.identity} is {most},"
                f" and these are {len(manifests)} experts"
            )


def _entries(manifest: Manifest, field: _Field) -> Iterator[Requirement]:
    texts: tuple[str, ...] = getattr(manifest.constraints, field)
    for text in texts[:MAX_ENTRIES]:
        if (entry := parse_requirement(text)) is not None:
            yield entry


def _covers(entry: Requirement, manifest: Manifest, *, unknown: bool) -> bool:
    """Whether name and version of the expert fit; ``unknown`` if the version is unreadable."""
    return entry.names(manifest.name) and entry.allows(manifest.version, unknown=unknown)

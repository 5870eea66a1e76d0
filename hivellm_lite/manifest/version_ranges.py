"""Versions as https://semver.org orders them, and ranges of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Interval", "Version", "parse_range", "parse_version"]

_NUMBERS = r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,2}"
_SUFFIXES = r"(?:-(?P<labels>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
_VERSION = re.compile(rf"[vV]?(?P<numbers>{_NUMBERS}){_SUFFIXES}")
_TERM = re.compile(
    rf"(?P<operator>[<>]=?|==?|[\^~]|)\s*[vV]?(?P<numbers>{_NUMBERS})(?:\.[*xX]){{0,2}}{_SUFFIXES}"
    r"(?=[\s,<>=^~]|\Z)[\s,]*"
)


class Version(NamedTuple):
    """A place in the order of versions; places compare as tuples.

    ``release`` is False for a pre-release. A label is (0, number, "") or (1, 0, text).
    """

    major: int
    minor: int
    patch: int
    release: bool
    labels: tuple[tuple[int, int, str], ...] = ()

    @classmethod
    def of(cls, numbers: Sequence[int], labels: str | None = None) -> Version:
        major, minor, patch = (*numbers, 0, 0)[:3]
        parts = tuple(
            (0, int(label), "") if label.isdigit() else (1, 0, label)
            for label in (labels.split(".") if labels else ())
        )
        return cls(major, minor, patch, not parts, parts)

    def next(self) -> Version:
        """The first place after this version: 1.0.0-rc.0 follows 1.0.0-rc."""
        return self._replace(labels=(*self.labels, (0, 0, "")))

    def before_pre_releases(self) -> Version:
        """The place before the first pre-release of this version; a pre-release's own place."""
        return self._replace(release=False)


MAX_LENGTH = 256
"""Characters of a version. A manifest's has 128; a registry may hold anything."""

_LOWEST = Version(0, 0, 0, False)
_HIGHEST = Version(10**9, 0, 0, False)

Interval = tuple[Version, Version]
"""[from, to)."""


def parse_range(text: str) -> tuple[Interval, ...] | None:
    """The intervals of all terms. Empty means any version; None means unparsable."""
    if text.strip() in ("", "*", "x", "X"):
        return ()
    intervals = []
    place = 0
    while place < len(text):
        term = _TERM.match(text, place)
        if term is None:
            return None
        numbers = [int(number) for number in term["numbers"].split(".")]
        intervals.append(_interval(term["operator"], numbers, term["labels"]))
        place = term.end()
    return tuple(intervals)


def _interval(operator: str, numbers: Sequence[int], labels: str | None) -> Interval:
    """``1.2`` stands for every 1.2.x: operators compare with its beginning or its end."""
    first = Version.of(numbers, labels)
    whole = len(numbers) == 3 or labels is not None
    end = first.next() if whole else _above(numbers, len(numbers) - 1)
    if operator == "^":
        leading = next((i for i, number in enumerate(numbers) if number), len(numbers) - 1)
        return first, _above(numbers, leading)
    if operator == "~":
        return first, _above(numbers, min(1, len(numbers) - 1))
    return {
        "<": (_LOWEST, first.before_pre_releases()),
        "<=": (_LOWEST, end),
        ">": (end, _HIGHEST),
        ">=": (first, _HIGHEST),
    }.get(operator, (first, end))


def _above(numbers: Sequence[int], place: int) -> Version:
    """Before the first pre-release of the version with one more at ``place``."""
    return Version.of([*numbers[:place], numbers[place] + 1]).before_pre_releases()


def parse_version(text: str) -> Version | None:
    """The place of a version; None if the text is not a semantic version."""
    match = _VERSION.fullmatch(text.strip()) if len(text) <= MAX_LENGTH else None
    if match is None:
        return None
    return Version.of([int(number) for number in match["numbers"].split(".")], match["labels"])

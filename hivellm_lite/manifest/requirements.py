"""Experts asked for by name: ``sql``, ``english-basic@>=1.0,<2``, ``english-legacy<=0.9``.

Manifests name other experts so in their ``constraints``, and users name installed ones::

    english-basic                any version; so is english-basic@*
    english-basic@1.2.3          only this version; @1.2, @1.2.x: every 1.2
    english-basic@>=1.0,<2       both must hold; a blank separates like a comma
    english-basic@^1.2           1.2 up to the next major version, ^0.3 up to 0.4
    english-basic@~1.2.3         1.2.3 up to the next minor version
    english-legacy<=0.9          "@" may be left out before an operator

Versions are ordered as https://semver.org orders them (§11); missing parts are 0.
A pre-release of 2.0.0 comes before 2.0.0, but is not in ``<2.0.0``, ``^1.2`` or ``1.x``: a range
that excludes 2.0.0 excludes its beta, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .version_ranges import Interval, parse_range, parse_version

__all__ = ["Requirement", "parse_requirement"]

MAX_LENGTH = 256
"""Characters of a requirement: a name has at most 128, a long range a few dozen."""

_REQUIREMENT = re.compile(r"(?P<name>[^\s@<>=^~*]+)\s*(?:@\s*|(?=[<>=^~])|\Z)(?P<range>.*)")


@dataclass(frozen=True)
class Requirement:
    """A name and the versions that fit.

    ``intervals`` are [from, to); a version must be in all of them. ``name`` is as it was written;
    names are compared without regard to case.
    """

    text: str
    name: str
    intervals: tuple[Interval, ...]

    def names(self, name: str) -> bool:
        """Whether this is the name that is asked for."""
        return self.name.casefold() == name.casefold()

    def allows(self, version: str, *, unknown: bool) -> bool:
        """Whether the version fits; ``unknown`` if it is no semantic version."""
        place = parse_version(version)
        if place is None:
            return unknown or not self.intervals
        return all(low <= place < high for low, high in self.intervals)


def parse_requirement(text: str) -> Requirement | None:
    """The requirement that ``text`` is; None if it cannot be one."""
    match = _REQUIREMENT.fullmatch(text.strip()) if len(text) <= MAX_LENGTH else None
    intervals = parse_range(match["range"]) if match else None
    if match is None or intervals is None:
        return None
    return Requirement(text, match["name"], intervals)

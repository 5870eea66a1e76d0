"""Which alternatives of a ``oneOf`` overlap, in all that has been read of a document.

A reader must know the overlaps before it can take one alternative from another. But two
alternatives can only be compared once their properties have been read. So a document is read again
with the overlaps that the last reading found, until a reading finds no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations

from ..sets.disjointness import Disjointness
from ..shapes import Shapes

__all__ = ["Alternative", "OneOfs", "Overlaps"]

Overlaps = Mapping[str, frozenset[tuple[int, int]]]
"""For the pointer of a ``oneOf``, the pairs of alternatives that one value may satisfy."""

Alternative = tuple[Shapes, Shapes]
"""(what is written for a schema, what any reader takes for valid)."""


class OneOfs:
    """The alternatives of each ``oneOf`` that has been read; ``known`` are earlier overlaps."""

    def __init__(self, known: Overlaps) -> None:
        self._known = known
        self._alternatives: dict[str, list[Alternative]] = {}
        self._checked: set[str] = set()

    def known(self, pointer: str) -> list[tuple[int, int]]:
        """The overlaps of one ``oneOf`` that earlier readings found, in order."""
        return sorted(self._known.get(pointer, ()))

    def add(self, pointer: str, alternatives: Iterable[Alternative], *, replace: bool) -> None:
        """Note the alternatives at a pointer; keep those noted before unless ``replace``."""
        if replace or pointer not in self._alternatives:
            self._alternatives[pointer] = list(alternatives)

    def overlaps(self, disjointness: Disjointness) -> Overlaps:
        """The earlier overlaps, and those of the alternatives noted since.

        A proof may read further schemas and so add to the alternatives.
        """
        found = dict(self._known)
        while True:
            unchecked = [name for name in self._alternatives if name not in self._checked]
            if not unchecked:
                return found
            for pointer in unchecked:
                self._checked.add(pointer)
                known = found.get(pointer, frozenset())
                pairs = _overlapping(self._alternatives[pointer], known, disjointness)
                if pairs:
                    found[pointer] = known | pairs


def _overlapping(
    alternatives: list[Alternative],
    known: frozenset[tuple[int, int]],
    disjointness: Disjointness,
) -> frozenset[tuple[int, int]]:
    return frozenset(
        (first, second)
        for first, second in combinations(range(len(alternatives)), 2)
        if (first, second) not in known
        and not (
            disjointness.of(alternatives[first][0], alternatives[second][1])
            and disjointness.of(alternatives[second][0], alternatives[first][1])
        )
    )

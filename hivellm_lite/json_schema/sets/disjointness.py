"""Proves that no value written for one alternative also satisfies another.

A value of a ``oneOf`` must satisfy exactly one of its schemas. A grammar writes values of one
alternative, so it is enough that no *written* value satisfies another alternative. An object
without ``additionalProperties`` is written with only its listed keys, which settles most real
schemas.
"""

from __future__ import annotations

from collections.abc import Callable

from ..shapes import FALSE, Array, Handle, Number, Object, Shape, Shapes, String, Values
from .handles import property_handle
from .membership import Membership

__all__ = ["Disjointness"]

_MAX_DEPTH = 3
"""Levels of properties and items that a proof compares. Discriminators are near the surface."""


class Disjointness:
    """Proofs for the schemas of one document.

    ``written`` reads a handle into the values to write, ``valid`` into the values that are valid
    in some dialect. ``is_written`` and ``is_valid`` are the memberships in these.
    """

    def __init__(
        self,
        written: Callable[[Handle], Shapes],
        valid: Callable[[Handle], Shapes],
        is_written: Membership,
        is_valid: Membership,
    ) -> None:
        self._written = written
        self._valid = valid
        self._is_written = is_written
        self._is_valid = is_valid

    def of(self, written: Shapes, valid: Shapes, depth: int = _MAX_DEPTH) -> bool:
        """Whether no value written for the first shapes is in the second shapes."""
        return all(self._pair(a, b, depth) for a in written for b in valid)

    def _pair(self, written: Shape, valid: Shape, depth: int) -> bool:
        if isinstance(written, Values):
            return not any(self._is_valid.of(valid, value) for value in written.values)
        if isinstance(valid, Values):
            return not any(self._is_written.of(written, value) for value in valid.values)
        if isinstance(written, Number) and isinstance(valid, Number):
            return _before(written, valid) or _before(valid, written)
        if isinstance(written, String) and isinstance(valid, String):
            return _apart(written, valid)
        if isinstance(written, Array) and isinstance(valid, Array):
            return _apart(written, valid) or self._items(written, valid, depth)
        if isinstance(written, Object) and isinstance(valid, Object):
            return _apart(written, valid) or self._objects(written, valid, depth)
        return True

    def _items(self, written: Array, valid: Array, depth: int) -> bool:
        """Whether some item that all arrays of one shape have never suits both shapes."""
        count = min(max(written.minimum, valid.minimum), _MAX_COMPARED)
        return any(
            self._handles(written.item(index), valid.item(index), depth) for index in range(count)
        )

    def _objects(self, written: Object, valid: Object, depth: int) -> bool:
        for name in sorted(written.required | valid.required):
            if not _writes(written, name) and name in valid.required:
                return True
            ours, theirs = property_handle(written, name), property_handle(valid, name)
            if FALSE in theirs and name in written.required:
                return True
            if self._handles(ours, theirs, depth):
                return True
        return False

    def _handles(self, written: Handle, valid: Handle, depth: int) -> bool:
        if depth == 0 or not valid:
            return False
        return self.of(self._written(written), self._valid(valid), depth - 1)


_MAX_COMPARED = 20
"""Items of two arrays that are compared."""


def _before(left: Number, right: Number) -> bool:
    """Whether the left numbers end before the right ones begin."""
    if left.upper is None or right.lower is None:
        return False
    if left.upper == right.lower:
        return left.upper_open or right.lower_open
    return left.upper < right.lower


def _apart(left: String | Array | Object, right: String | Array | Object) -> bool:
    """Whether the two shapes have no permitted size in common."""
    return any(
        a.maximum is not None and a.maximum < b.minimum for a, b in ((left, right), (right, left))
    )


def _writes(shape: Object, name: str) -> bool:
    """Whether a written object of the shape may have this key."""
    if name in shape.properties or name in shape.required:
        return FALSE not in property_handle(shape, name)
    return shape.has_others or bool(shape.patterns)

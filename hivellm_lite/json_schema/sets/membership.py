"""Tells whether a shape admits a value. The reader filters ``enum`` and ``const`` with this."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from ..shapes import (
    Array,
    Contains,
    Handle,
    Number,
    Object,
    Shape,
    Shapes,
    String,
    Values,
    canonical,
)
from ..strings.languages import in_string, may_be_in_string
from .handles import property_handle

__all__ = ["Membership"]


class Membership:
    """Membership in the shapes of one document. ``shapes`` reads a handle.

    With ``wide``, a value is in a shape if it is in some dialect. Without, a ``format`` is not
    checked, because the author of a list of values has chosen them.
    """

    def __init__(self, shapes: Callable[[Handle], Shapes], *, wide: bool = False) -> None:
        self._shapes = shapes
        self._wide = wide

    def of(self, shape: Shape, value: Any) -> bool:
        """Whether the value is in the shape. Items and members are checked by recursion."""
        if isinstance(shape, Values):
            return canonical(value) in shape.canonical
        if isinstance(shape, Number):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                return False
            return shape.admits(Fraction(repr(value) if isinstance(value, float) else value))
        if isinstance(shape, String):
            is_one = may_be_in_string if self._wide else in_string
            return isinstance(value, str) and is_one(shape, value)
        if isinstance(shape, Array):
            return (
                isinstance(value, list)
                and _is_between(len(value), shape.minimum, shape.maximum)
                and all(self._in(shape.item(i), item) for i, item in enumerate(value))
                and all(self._has(contains, value) for contains in shape.contains)
                and not (shape.unique and len(set(map(canonical, value))) < len(value))
            )
        return isinstance(value, dict) and self._is_object(shape, value)

    def _is_object(self, shape: Object, value: dict[str, Any]) -> bool:
        return (
            _is_between(len(value), shape.minimum, shape.maximum)
            and shape.required <= value.keys()
            and all(self._in(property_handle(shape, key), item) for key, item in value.items())
            and all(self._in(shape.names, key) for key in value)
        )

    def _has(self, contains: Contains, value: list[Any]) -> bool:
        count = sum(self._in(contains.handle, item) for item in value)
        return _is_between(count, contains.minimum, contains.maximum)

    def _in(self, handle: Handle, value: Any) -> bool:
        return any(self.of(shape, value) for shape in self._shapes(handle))


def _is_between(count: int, minimum: int, maximum: int | None) -> bool:
    return minimum <= count and (maximum is None or count <= maximum)

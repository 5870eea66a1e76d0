"""Intersects two shapes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from ..shapes import (
    FALSE,
    Array,
    Handle,
    Number,
    Object,
    Rest,
    Shape,
    String,
    Values,
    common_multiple,
)
from .handles import both, property_handle
from .membership import Membership

__all__ = ["meet"]


def meet(
    left: Shape,
    right: Shape,
    membership: Membership,
    is_empty: Callable[[Handle], bool],
) -> Shape | None:
    """The values that are in both shapes; None if there is plainly no such value.

    ``is_empty`` says whether a handle plainly has no value.
    """
    if isinstance(right, Values):
        left, right = right, left
    if isinstance(left, Values):
        kept = tuple(value for value in left.values if membership.of(right, value))
        return Values(kept) if kept else None
    if isinstance(left, Number) and isinstance(right, Number):
        return _numbers(left, right)
    if isinstance(left, String) and isinstance(right, String):
        return _strings(left, right)
    if isinstance(left, Array) and isinstance(right, Array):
        return _arrays(left, right)
    if isinstance(left, Object) and isinstance(right, Object):
        return _objects(left, right, is_empty)
    return None


def _numbers(left: Number, right: Number) -> Number | None:
    lower, lower_open = _tighter(
        (left.lower, left.lower_open), (right.lower, right.lower_open), sign=1
    )
    upper, upper_open = _tighter(
        (left.upper, left.upper_open), (right.upper, right.upper_open), sign=-1
    )
    if (
        lower is not None
        and upper is not None
        and (lower > upper or (lower == upper and (lower_open or upper_open)))
    ):
        return None
    multiples = [m for m in (left.multiple_of, right.multiple_of) if m is not None]
    return Number(
        lower,
        upper,
        lower_open,
        upper_open,
        left.integer or right.integer,
        common_multiple(*multiples) if len(multiples) == 2 else next(iter(multiples), None),
        (*left.without, *(n for n in right.without if n not in left.without)),
        left.exponent and right.exponent,
    )


def _tighter(
    left: tuple[Fraction | None, bool], right: tuple[Fraction | None, bool], sign: int
) -> tuple[Fraction | None, bool]:
    if left[0] is None or right[0] is None:
        return right if left[0] is None else left
    return max(left, right, key=lambda bound: (sign * (bound[0] or 0), bound[1]))


def _smaller(left: int | None, right: int | None) -> int | None:
    return min((n for n in (left, right) if n is not None), default=None)


def _strings(left: String, right: String) -> String | None:
    minimum = max(left.minimum, right.minimum)
    maximum = _smaller(left.maximum, right.maximum)
    if maximum is not None and minimum > maximum:
        return None
    patterns = (*left.patterns, *(p for p in right.patterns if p not in left.patterns))
    formats = (*left.formats, *(f for f in right.formats if f not in left.formats))
    without = (*left.without, *(w for w in right.without if w not in left.without))
    said = left if left.patterns or left.formats else right
    return String(minimum, maximum, patterns, formats, without, said.pointer)


def _arrays(left: Array, right: Array) -> Array | None:
    minimum = max(left.minimum, right.minimum)
    maximum = _smaller(left.maximum, right.maximum)
    if maximum is not None and minimum > maximum:
        return None
    prefix = tuple(
        both(left.item(index), right.item(index))
        for index in range(max(len(left.prefix), len(right.prefix)))
    )
    return Array(
        prefix,
        both(left.items, right.items),
        minimum,
        maximum,
        (*left.contains, *(c for c in right.contains if c not in left.contains)),
        left.unique or right.unique,
        pointer=left.pointer if left.contains or left.unique else right.pointer,
    )


def _objects(left: Object, right: Object, is_empty: Callable[[Handle], bool]) -> Object | None:
    minimum = max(left.minimum, right.minimum)
    maximum = _smaller(left.maximum, right.maximum)
    required = left.required | right.required
    if maximum is not None and max(minimum, len(required)) > maximum:
        return None
    names = (*left.properties, *(name for name in right.properties if name not in left.properties))
    properties = {}
    for name in names:
        ours, theirs = property_handle(left, name), property_handle(right, name)
        together = both(ours, theirs)
        if FALSE in together or (together not in (ours, theirs) and is_empty(together)):
            if name in required:
                return None
            together = (FALSE,)
        properties[name] = together
    return replace(
        left,
        properties=properties,
        required=required,
        rests=_rests(left.rests + right.rests),
        names=both(left.names, right.names),
        open=left.open and right.open,
        minimum=minimum,
        maximum=maximum,
    )


def _rests(rests: tuple[Rest, ...]) -> tuple[Rest, ...]:
    """Each rest once, and all rests without patterns as one."""
    additional: Handle = ()
    for rest in rests:
        if not rest.patterns:
            additional = both(additional, rest.additional)
    kept = tuple(dict.fromkeys(rest for rest in rests if rest.patterns))
    return (*kept, Rest((), additional)) if additional or not kept else kept

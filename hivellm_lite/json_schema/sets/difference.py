"""Takes the values of one shape away from another, for ``not``, ``if`` and ``oneOf``.

The result never holds a value that the other shape may admit. If the result lacks values that it
could hold, `Difference.exact` is false.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from ..shapes import (
    FALSE,
    Array,
    Contains,
    Handle,
    Number,
    Object,
    Rest,
    Shape,
    Shapes,
    String,
    Values,
)
from .handles import additional_handle, negated, property_handle
from .membership import Membership

__all__ = ["Difference", "Tools", "Work", "difference"]

MAX_PIECES = 120
"""Shapes that a difference may consist of."""

_MAX_PLACES = 20
"""Items of an array that get a shape each."""


@dataclass(frozen=True)
class Difference:
    """The remaining values; ``exact`` says whether the shapes hold all of them."""

    shapes: Shapes
    exact: bool = True


@dataclass
class Work:
    """A budget: the shapes that differences may still make, for one whole schema."""

    left: int = 10_000


@dataclass(frozen=True)
class Tools:
    """What a difference needs to know of the document.

    ``meet`` intersects two shapes, ``membership`` says whether a value may be in a shape, ``only``
    returns the handle of a single value.
    """

    meet: Callable[[Shape, Shape], Shape | None]
    membership: Membership
    only: Callable[[Any], Handle]
    work: Work


def difference(left: Shapes, right: Shapes, tools: Tools) -> Difference:
    """The values in the left shapes that are in none of the right ones."""
    exact = True
    parts = left
    for other in right:
        kept: dict[Shape, None] = {}
        for part in parts:
            found = _pair(part, other, tools)
            kept.update(dict.fromkeys(found.shapes))
            exact = exact and found.exact
            tools.work.left -= len(found.shapes)
        if len(kept) > MAX_PIECES or tools.work.left < 0:
            return Difference((), exact=False)
        parts = tuple(kept)
    return Difference(parts, exact)


def _pair(left: Shape, right: Shape, tools: Tools) -> Difference:
    if isinstance(left, Values):
        kept = tuple(value for value in left.values if not tools.membership.of(right, value))
        return Difference((Values(kept),) if kept else ())
    if isinstance(right, Values):
        return _without_values(left, right, tools)
    if isinstance(left, Number) and isinstance(right, Number):
        return _numbers(left, right, tools)
    if isinstance(left, String) and isinstance(right, String):
        return _strings(left, right)
    if isinstance(left, Array) and isinstance(right, Array):
        return _arrays(left, right, tools)
    if isinstance(left, Object) and isinstance(right, Object):
        return _objects(left, right, tools)
    return Difference((left,))


def _without_values(left: Shape, right: Values, tools: Tools) -> Difference:
    if isinstance(left, String):
        texts = tuple(value for value in right.values if isinstance(value, str))
        if not texts:
            return Difference((left,))
        return Difference((replace(left, without=(*left.without, Values(texts))),))
    shapes: Shapes = (left,)
    exact = True
    for value in right.values:
        shape = _shape_of(value, tools)
        if shape is not None and type(shape) is type(left):
            found = difference(shapes, (shape,), tools)
            shapes, exact = found.shapes, exact and found.exact
    return Difference(shapes, exact)


def _shape_of(value: Any, tools: Tools) -> Shape | None:
    """The shape of one value; None for null, booleans and strings."""
    if isinstance(value, list):
        prefix = tuple(tools.only(item) for item in value)
        return Array(prefix, (FALSE,), minimum=len(value), maximum=len(value))
    if isinstance(value, dict):
        properties = {key: tools.only(item) for key, item in value.items()}
        return Object(properties, frozenset(value), (Rest((), (FALSE,)),), maximum=len(value))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    number = Fraction(repr(value) if isinstance(value, float) else value)
    return Number(number, number)


def _pieces(
    left: Shape, pieces: Iterator[Shape], tools: Tools, *, exact: bool = True
) -> Difference:
    met = (tools.meet(left, piece) for piece in pieces)
    return Difference(tuple(shape for shape in met if shape is not None), exact)


def _numbers(left: Number, right: Number, tools: Tools) -> Difference:
    """Numbers outside of the right bounds, left out on the right, or between the right steps."""
    pieces: list[Shape] = [*right.without]
    if right.lower is not None:
        pieces.append(Number(upper=right.lower, upper_open=not right.lower_open))
    if right.upper is not None:
        pieces.append(Number(lower=right.upper, lower_open=not right.upper_open))
    found = _pieces(left, iter(pieces), tools)
    steps = Number(integer=right.integer, multiple_of=right.multiple_of)
    if steps != Number() and not _has_steps(left, steps):
        between = replace(left, without=(*left.without, steps))
        found = Difference((*found.shapes, between))
    return found


def _has_steps(shape: Number, steps: Number) -> bool:
    """Whether all numbers of the shape have these steps: are whole, or multiples."""
    if steps.integer and not shape.integer:
        return False
    step = steps.multiple_of
    if step is None:
        return True
    own = shape.multiple_of or Fraction(1) if shape.integer else shape.multiple_of
    return own is not None and (own / step).denominator == 1


def _strings(left: String, right: String) -> Difference:
    if right.patterns or right.formats or right.without:
        if right in left.without:
            return Difference((left,))
        return Difference((replace(left, without=(*left.without, right)),))
    found: list[Shape] = []
    if right.minimum > left.minimum:
        most = right.minimum - 1
        found.append(
            replace(left, maximum=most if left.maximum is None else min(left.maximum, most))
        )
    if right.maximum is not None and (left.maximum is None or left.maximum > right.maximum):
        found.append(replace(left, minimum=max(left.minimum, right.maximum + 1)))
    return Difference(tuple(found))


def _sizes(right: Array | Object, kind: type[Array | Object]) -> Iterator[Shape]:
    if right.minimum > 0:
        yield kind(maximum=right.minimum - 1)
    if right.maximum is not None:
        yield kind(minimum=right.maximum + 1)


def _arrays(left: Array, right: Array, tools: Tools) -> Difference:
    pieces = list(_sizes(right, Array))
    exact = not right.unique
    longest = math.inf if left.maximum is None else left.maximum
    own = len(right.prefix)
    for index in range(min(own, _MAX_PLACES)):
        pieces += _item_fails(index, right.prefix[index])
    if own > _MAX_PLACES and longest > _MAX_PLACES:
        exact = False
    if right.items:
        if own == 0:
            pieces.append(Array(contains=(Contains(negated(right.items)),)))
        elif FALSE in right.items:
            pieces.append(Array(minimum=own + 1))
        elif longest <= _MAX_PLACES:
            for index in range(own, int(longest)):
                pieces += _item_fails(index, right.items)
        else:
            exact = False
    for contains in right.contains:
        if contains.minimum > 0:
            pieces.append(
                Array(contains=(replace(contains, minimum=0, maximum=contains.minimum - 1),))
            )
        if contains.maximum is not None:
            pieces.append(
                Array(contains=(replace(contains, minimum=contains.maximum + 1, maximum=None),))
            )
    return _pieces(left, iter(pieces), tools, exact=exact)


def _item_fails(index: int, handle: Handle) -> Iterator[Array]:
    if handle:
        yield Array((*((),) * index, negated(handle)), minimum=index + 1)


def _objects(left: Object, right: Object, tools: Tools) -> Difference:
    pieces = list(_sizes(right, Object))
    names = dict.fromkeys((*right.properties, *left.properties, *sorted(left.required)))
    pieces += (Object({name: (FALSE,)}) for name in sorted(right.required - left.required))
    for name in names:
        handle = property_handle(right, name)
        if handle:
            pieces.append(Object({name: negated(handle)}, frozenset({name})))
        if right.names:
            pieces.append(Object({name: ()}, frozenset({name}), names=negated(right.names)))
    others_fail = right.names or any(rest.patterns or rest.additional for rest in right.rests)
    has_others = left.patterns or (left.has_others and FALSE not in additional_handle(left))
    exact = not (others_fail and has_others)
    if right.names:
        # No shape can say which unlisted key has a wrong name.
        pieces = [piece for piece in pieces if not (isinstance(piece, Object) and piece.names)]
        exact = False
    return _pieces(left, iter(pieces), tools, exact=exact)

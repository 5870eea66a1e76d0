"""Writes all whole numbers, or all decimals, between two bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from ...gbnf.build import NOTHING, alternation, literal, sequence
from ...gbnf.syntax import Node
from ..shapes import Number
from .digits import magnitudes, naturals

__all__ = [
    "FLOAT_DIGITS",
    "INTEGER_DIGITS",
    "decimal_places",
    "decimals",
    "integers",
    "whole_bounds",
]

INTEGER_DIGITS = 19
"""Digits of a whole number without bounds, as 64 bits hold. A larger bound allows more."""

FLOAT_DIGITS = 15
"""Significant digits that a 64-bit float can distinguish."""


def integers(low: int | None, high: int | None) -> Node:
    """Whole numbers from ``low`` to ``high``. None is the largest number that is written."""
    return _signed(low, high, _largest(low, high), naturals)


def decimals(shape: Number, places: int | None) -> Node:
    """Numbers with at most ``places`` decimal places.

    The numbers are counted in units of the last place: 1.25 is 125 units of 0.01. Bounds between
    two units are rounded inwards. ``places`` None is as many as a float distinguishes.
    """
    bounds = [bound for bound in (shape.lower, shape.upper) if bound is not None]
    if places is None:
        whole_digits = max((len(str(int(abs(bound)))) for bound in bounds), default=1)
        own_places = max((decimal_places(bound) for bound in bounds), default=0)
        places = max(1, FLOAT_DIGITS - whole_digits, own_places)
    unit = 10**places
    in_units = Number(
        None if shape.lower is None else shape.lower * unit,
        None if shape.upper is None else shape.upper * unit,
        shape.lower_open,
        shape.upper_open,
    )
    low, high = whole_bounds(in_units)
    largest = (_largest(*whole_bounds(shape)) + 1) * unit - 1
    return _signed(low, high, largest, lambda low, high: magnitudes(low, high, places))


def whole_bounds(shape: Number) -> tuple[int | None, int | None]:
    """The smallest and the largest whole number within the bounds."""
    low = high = None
    if shape.lower is not None:
        low = math.floor(shape.lower) + 1 if shape.lower_open else math.ceil(shape.lower)
    if shape.upper is not None:
        high = math.ceil(shape.upper) - 1 if shape.upper_open else math.floor(shape.upper)
    return low, high


def decimal_places(value: Fraction) -> int:
    """Decimal places of a number. JSON has only numbers with an end."""
    twos = fives = 0
    rest = value.denominator
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives)


def _largest(low: int | None, high: int | None) -> int:
    """The largest whole number that is written on a side without a bound."""
    digits = [len(str(abs(bound))) + 1 for bound in (low, high) if bound is not None]
    return int(10 ** max(INTEGER_DIGITS, *digits, 0)) - 1


def _signed(
    low: int | None, high: int | None, largest: int, magnitudes: Callable[[int, int], Node]
) -> Node:
    """Numbers from ``low`` to ``high``. A negative number is a minus sign and a magnitude."""
    options = []
    if low is None or low < 0:
        nearest = 1 if high is None else max(1, -high)
        farthest = largest if low is None else -low
        if nearest <= farthest:
            options.append(sequence(literal("-"), magnitudes(nearest, farthest)))
    if high is None or high >= 0:
        nearest = 0 if low is None else max(0, low)
        farthest = largest if high is None else high
        if nearest <= farthest:
            options.append(magnitudes(nearest, farthest))
    return alternation(*options) if options else NOTHING

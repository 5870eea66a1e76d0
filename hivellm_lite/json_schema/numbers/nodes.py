"""Writes numbers between two bounds, exactly as their decimals say.

Whole numbers have neither fraction nor exponent. Numbers with a bound or a divisor have no
exponent, and only as many decimal places as a 64-bit float distinguishes at that size. So the
bound also holds for a reader that rounds to floats.
"""

from __future__ import annotations

import math
from fractions import Fraction

from ...gbnf.build import NOTHING, alternation, literal, sequence
from ...gbnf.syntax import Node
from ..shapes import Number
from .ranges import decimal_places, decimals, integers, whole_bounds

__all__ = ["MAX_BOUND_DIGITS", "MAX_LISTED", "is_writable", "number_node"]

MAX_BOUND_DIGITS = 40
"""Digits of a bound, before and after the point."""

MAX_LISTED = 1_000
"""Up to this many multiples, each is written in full."""


def number_node(shape: Number) -> Node | None:
    """All numbers of the shape; `NOTHING` if there are none.

    None if the shape leaves numbers out, or has a divisor that these rules cannot express.
    """
    if shape.without:
        return None
    if shape.multiple_of is not None:
        return _multiples(shape)
    if shape.integer:
        return integers(*whole_bounds(shape))
    return decimals(shape, None)


def is_writable(shape: Number) -> bool:
    """Whether the bounds have few enough digits."""
    bounds = [bound for bound in (shape.lower, shape.upper, shape.multiple_of) if bound is not None]
    return all(
        abs(bound.numerator) < 10**MAX_BOUND_DIGITS and bound.denominator < 10**MAX_BOUND_DIGITS
        for bound in bounds
    )


def _multiples(shape: Number) -> Node | None:
    step = shape.multiple_of
    assert step is not None  # noqa: S101 — the caller has checked
    if shape.integer:
        step = Fraction(step.numerator)
    if shape.lower is not None and shape.upper is not None:
        first, last = math.ceil(shape.lower / step), math.floor(shape.upper / step)
        if last - first < MAX_LISTED:
            values = [step * count for count in range(first, last + 1)]
            spellings = [text for v in values if shape.admits(v) for text in _spellings(shape, v)]
            return alternation(*map(literal, spellings)) if spellings else NOTHING
    zeros = _power_of_ten(step)
    if zeros is None:
        return None
    if zeros < 0:
        return decimals(shape, -zeros)
    low, high = whole_bounds(shape)
    scale = 10**zeros
    low = None if low is None else -(-low // scale)
    high = None if high is None else high // scale
    if (low is not None and high is not None and low > high) or scale == 1:
        return integers(low, high)
    without_zero = [integers(max(low or 1, 1), high) if high is None or high > 0 else NOTHING]
    if low is None or low < 0:
        without_zero.append(integers(low, -1 if high is None else min(high, -1)))
    options = [sequence(node, literal("0" * zeros)) for node in without_zero if node != NOTHING]
    if (low is None or low <= 0) and (high is None or high >= 0):
        options.append(literal("0"))
    return alternation(*options)


def _spellings(shape: Number, value: Fraction) -> list[str]:
    """The number without exponent. Whole numbers are also ``1.0``, where fractions may be."""
    if value.denominator == 1:
        return [str(value)] if shape.integer else [str(value), f"{value}.0"]
    places = decimal_places(value)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return [f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"]


def _power_of_ten(value: Fraction) -> int | None:
    exponent = len(str(value.numerator)) - len(str(value.denominator))
    return exponent if value == Fraction(10) ** exponent else None

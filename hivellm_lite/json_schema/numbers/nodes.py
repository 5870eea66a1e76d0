"""Rules for numbers between two bounds, exact on the written decimals.

Whole numbers are written without fraction and exponent. Numbers with a bound or
a divisor have no exponent, and only as many decimal places as a 64-bit
float distinguishes at that size, so that a reader who rounds to floats finds the
bound kept too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from ..gbnf.build import NOTHING, alternation, char_class, literal, optional, repeat, sequence
from ..gbnf.syntax import Node
from .multiples import decimal_step, multiples_automaton
from .sets.intersection import common_multiple
from .shapes import Number
from .strings.automata import NO_TEXT, TextAutomaton, TooLargeError, products
from .strings.pattern_automata import tree_automaton

__all__ = [
    "FLOAT_DIGITS",
    "INTEGER_DIGITS",
    "MAX_BOUND_DIGITS",
    "MAX_LISTED",
    "is_writable",
    "number_automaton",
    "number_node",
]

INTEGER_DIGITS = 19
"""Digits of a whole number without bounds: what 64 bits hold. A larger bound allows more."""

FLOAT_DIGITS = 15
"""Significant digits that a 64-bit float keeps apart."""

MAX_BOUND_DIGITS = 40
"""Digits of a bound, before and after the point."""

_MAX_COUNTED_STATES = 2_000
"""States of numbers that are written digit by digit with their remainders."""

MAX_LISTED = 1_000
"""Most multiples that are written out one by one."""

_DIGIT = char_class([(0x30, 0x39)])
_NONZERO = char_class([(0x31, 0x39)])


def number_node(shape: Number) -> Node | None:
    """All numbers of the shape; `NOTHING` if there are none.

    None if the divisor is of a kind that no rule here writes, or numbers are left out.
    """
    if shape.without:
        return None
    if shape.multiple_of is not None:
        return _multiples(shape)
    if shape.integer:
        return _integers(*_whole_bounds(shape))
    return _decimals(shape, None)


def number_automaton(shape: Number) -> TextAutomaton | None:
    """All numbers of the shape where no rule of `number_node` writes them.

    None if there are too many states for that.
    """
    steps = [] if shape.multiple_of is None else [shape.multiple_of]
    steps += [_step_of(left_out) for left_out in shape.without]
    try:
        parts = [multiples_automaton(step) for step in steps]
    except TooLargeError:
        return None
    n_own = len(steps) - len(shape.without)
    largest = max((len(part.machine.moves) for part in parts), default=1)
    digits = min(INTEGER_DIGITS, _MAX_COUNTED_STATES // largest)
    for longest in (INTEGER_DIGITS, digits):
        plain = _unstepped(shape, longest)
        if plain == NOTHING:
            return NO_TEXT
        try:
            found = products(
                [tree_automaton(plain), *parts],
                lambda flags: (all(flags[: n_own + 1]) and not any(flags[n_own + 1 :])) or None,
                frozenset(range(n_own + 1)),
            ).get(True, NO_TEXT)
        except TooLargeError:
            continue
        if len(found.machine.moves) <= _MAX_COUNTED_STATES:
            return found
    return None


def _step_of(left_out: Number) -> Fraction:
    if not left_out.integer:
        return left_out.multiple_of or Fraction(1)
    return common_multiple(Fraction(1), left_out.multiple_of or Fraction(1))


def _unstepped(shape: Number, digits: int) -> Node:
    """The numbers within the bounds, with ``digits`` at most before the point if there are none."""
    limit = Fraction(10**digits - 1)
    lower = -limit if shape.lower is None else shape.lower
    upper = limit if shape.upper is None else shape.upper
    if lower > upper:
        return NOTHING
    bounded = Number(lower, upper, shape.lower_open, shape.upper_open, shape.integer)
    if shape.integer:
        return _integers(*_whole_bounds(bounded))
    places = None
    if shape.multiple_of is not None:
        places = max(1, decimal_step(shape.multiple_of)[1])
    elif shape.lower is None and shape.upper is None:
        places = FLOAT_DIGITS - 1
    return _decimals(bounded, places)


def is_writable(shape: Number) -> bool:
    """Whether the bounds have few enough digits."""
    bounds = [bound for bound in (shape.lower, shape.upper, shape.multiple_of) if bound is not None]
    return all(
        abs(bound.numerator) < 10**MAX_BOUND_DIGITS and bound.denominator < 10**MAX_BOUND_DIGITS
        for bound in bounds
    )


def _multiples(shape: Number) -> Node | None:
    step = shape.multiple_of
    assert step is not None  # noqa: S101 — the only caller has looked
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
        return _decimals(shape, -zeros)
    low, high = _whole_bounds(shape)
    scale = 10**zeros
    low = None if low is None else -(-low // scale)
    high = None if high is None else high // scale
    if (low is not None and high is not None and low > high) or scale == 1:
        return _integers(low, high)
    without_zero = [_integers(max(low or 1, 1), high) if high is None or high > 0 else NOTHING]
    if low is None or low < 0:
        without_zero.append(_integers(low, -1 if high is None else min(high, -1)))
    options = [sequence(node, literal("0" * zeros)) for node in without_zero if node != NOTHING]
    if (low is None or low <= 0) and (high is None or high >= 0):
        options.append(literal("0"))
    return alternation(*options)


def _spellings(shape: Number, value: Fraction) -> list[str]:
    """The number without exponent; a whole one also as ``1.0`` where fractions may be."""
    if value.denominator == 1:
        return [str(value)] if shape.integer else [str(value), f"{value}.0"]
    places = _decimal_places(value)
    digits = str(abs(value.numerator) * 10**places // value.denominator).rjust(places + 1, "0")
    return [f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"]


def _decimal_places(value: Fraction) -> int:
    """Decimal places; JSON has no number without an end."""
    twos = fives = 0
    rest = value.denominator
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives)


def _power_of_ten(value: Fraction) -> int | None:
    exponent = len(str(value.numerator)) - len(str(value.denominator))
    return exponent if value == Fraction(10) ** exponent else None


def _whole_bounds(shape: Number) -> tuple[int | None, int | None]:
    """The smallest and the largest whole number within the bounds."""
    low = high = None
    if shape.lower is not None:
        low = math.floor(shape.lower) + 1 if shape.lower_open else math.ceil(shape.lower)
    if shape.upper is not None:
        high = math.ceil(shape.upper) - 1 if shape.upper_open else math.floor(shape.upper)
    return low, high


def _integers(low: int | None, high: int | None) -> Node:
    """Whole numbers from ``low`` to ``high``; None is as far as the digits allow."""
    return _signed(low, high, _largest(low, high), _naturals)


def _decimals(shape: Number, places: int | None) -> Node:
    """Numbers with at most ``places`` decimal places.

    They are handled as whole numbers of units in the last place: 1.25 is 125
    units of 0.01. Bounds between two units are rounded inwards.
    """
    bounds = [bound for bound in (shape.lower, shape.upper) if bound is not None]
    if places is None:
        whole_digits = max((len(str(int(abs(bound)))) for bound in bounds), default=1)
        own_places = max((_decimal_places(bound) for bound in bounds), default=0)
        places = max(1, FLOAT_DIGITS - whole_digits, own_places)
    unit = 10**places
    in_units = Number(
        None if shape.lower is None else shape.lower * unit,
        None if shape.upper is None else shape.upper * unit,
        shape.lower_open,
        shape.upper_open,
    )
    low, high = _whole_bounds(in_units)
    largest = (_largest(*_whole_bounds(shape)) + 1) * unit - 1
    return _signed(low, high, largest, lambda low, high: _magnitudes(low, high, places))


def _largest(low: int | None, high: int | None) -> int:
    """The largest whole number that is written if there is no bound."""
    digits = [len(str(abs(bound))) + 1 for bound in (low, high) if bound is not None]
    return int(10 ** max(INTEGER_DIGITS, *digits, 0)) - 1


def _signed(
    low: int | None, high: int | None, largest: int, magnitudes: Callable[[int, int], Node]
) -> Node:
    """Numbers from ``low`` to ``high``, those below zero as a minus sign and a magnitude."""
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


def _magnitudes(low: int, high: int, places: int) -> Node:
    """Decimals from ``low`` to ``high`` units; trailing zeros and ``.0`` may be left out."""
    unit = 10**places
    (first, low_rest), (last, high_rest) = divmod(low, unit), divmod(high, unit)
    zeros, nines = "0" * places, "9" * places
    start, end = str(low_rest).rjust(places, "0"), str(high_rest).rjust(places, "0")
    if first == last:
        return sequence(literal(str(first)), _fraction(start, end))
    options: list[Node] = []
    if start != zeros:
        options.append(sequence(literal(str(first)), _fraction(start, nines)))
        first += 1
    tail: list[Node] = []
    if end != nines:
        tail.append(sequence(literal(str(last)), _fraction(zeros, end)))
        last -= 1
    if first <= last:
        options.append(sequence(_naturals(first, last), _fraction(zeros, nines)))
    return alternation(*options, *tail)


def _fraction(low: str, high: str) -> Node:
    """The point and digits that, filled up with zeros, lie between two strings of digits."""
    some = sequence(literal("."), alternation(*_digits_between(low, high)))
    return some if low.strip("0") else optional(some)


def _digits_between(low: str, high: str) -> list[Node]:
    """Options for one or more digits that, filled up with zeros, lie between two strings."""
    first, last = int(low[0]), int(high[0])
    if first == last:
        return [_digit_and(first, first, low[1:], high[1:])]
    zeros, nines = "0" * (len(low) - 1), "9" * (len(low) - 1)
    options: list[Node] = []
    if low[1:] != zeros:
        options.append(_digit_and(first, first, low[1:], nines))
        first += 1
    tail: list[Node] = []
    if high[1:] != nines:
        tail.append(_digit_and(last, last, zeros, high[1:]))
        last -= 1
    if first <= last:
        options.append(_digit_and(first, last, zeros, nines))
    return options + tail


def _digit_and(first: int, last: int, low: str, high: str) -> Node:
    """A digit, and what may follow so that the rest is between two strings."""
    if not low:
        return _digits(first, last)
    if not low.strip("0") and not high.strip("9"):
        return sequence(_digits(first, last), repeat(_DIGIT, 0, len(low)))
    rest = alternation(*_digits_between(low, high))
    return sequence(_digits(first, last), rest if low.strip("0") else optional(rest))


def _naturals(low: int, high: int) -> Node:
    """Whole numbers with 0 <= low <= high, one alternative for each number of digits
    at the ends and one for all lengths between them.
    """
    if low == 0:
        rest = [_naturals(1, high)] if high else []
        return alternation(literal("0"), *rest)
    shortest, longest = len(str(low)), len(str(high))
    if shortest == longest:
        return _same_length(str(low), str(high))
    options: list[Node] = []
    first, last = shortest, longest
    if low != 10 ** (shortest - 1):
        options.append(_same_length(str(low), "9" * shortest))
        first += 1
    if high != 10**longest - 1:
        last -= 1
    if first <= last:
        options.append(sequence(_NONZERO, repeat(_DIGIT, first - 1, last - 1)))
    if last < longest:
        options.append(_same_length("1" + "0" * (longest - 1), str(high)))
    return alternation(*options)


def _same_length(low: str, high: str) -> Node:
    """Strings of as many digits, in order from ``low`` to ``high``."""
    shared = 0
    while shared < len(low) and low[shared] == high[shared]:
        shared += 1
    if shared == len(low):
        return literal(low)
    low, high, prefix = low[shared:], high[shared:], literal(low[:shared])
    count = len(low) - 1
    first, last = int(low[0]), int(high[0])
    options: list[Node] = []
    if low[1:].strip("0"):
        options.append(_beside(low, 9))
        first += 1
    upper: list[Node] = []
    if high[1:].strip("9"):
        upper.append(_beside(high, 0))
        last -= 1
    if first <= last:
        options.append(sequence(_digits(first, last), repeat(_DIGIT, count, count)))
    return sequence(prefix, alternation(*options, *upper))


def _beside(bound: str, nearest: int) -> Node:
    """Strings of as many digits with the same first digit, from ``bound`` towards
    ``nearest``: 9 for those above it, 0 for those below.
    """
    extreme = str(nearest)
    node: Node = literal("")
    for place in range(len(bound) - 1, 0, -1):
        digit = int(bound[place])
        rest = len(bound) - place - 1
        options = [sequence(literal(bound[place]), node)]
        if bound[place] != extreme:
            beyond = _digits(digit + 1, 9) if nearest else _digits(0, digit - 1)
            options.append(sequence(beyond, repeat(_DIGIT, rest, rest)))
        node = alternation(*options)
    return sequence(literal(bound[0]), node)


def _digits(first: int, last: int) -> Node:
    if first == last:
        return literal(str(first))
    return char_class([(0x30 + first, 0x30 + last)])

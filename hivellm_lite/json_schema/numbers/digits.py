"""Writes the digits of numbers between two bounds that are not negative."""

from __future__ import annotations

from ...gbnf.build import alternation, char_class, literal, optional, repeat, sequence
from ...gbnf.syntax import Node

__all__ = ["magnitudes", "naturals"]

_DIGIT = char_class([(0x30, 0x39)])
_NONZERO = char_class([(0x31, 0x39)])


def naturals(low: int, high: int) -> Node:
    """Whole numbers from ``low`` to ``high``, with 0 <= low <= high.

    There is an alternative for the shortest numbers, one for the longest, and one for all
    lengths in between.
    """
    if low == 0:
        rest = [naturals(1, high)] if high else []
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


def magnitudes(low: int, high: int, places: int) -> Node:
    """Decimals from ``low`` to ``high`` units of the last of ``places`` decimal places.

    Trailing zeros and ``.0`` are optional.
    """
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
        options.append(sequence(naturals(first, last), _fraction(zeros, nines)))
    return alternation(*options, *tail)


def _fraction(low: str, high: str) -> Node:
    """The point, and digits that are between two strings of digits when padded with zeros."""
    some = sequence(literal("."), alternation(*_digits_between(low, high)))
    return some if low.strip("0") else optional(some)


def _digits_between(low: str, high: str) -> list[Node]:
    """Options for one or more digits that are between two strings when padded with zeros."""
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
    """A digit from ``first`` to ``last``, then digits between the two other strings."""
    if not low:
        return _digits(first, last)
    if not low.strip("0") and not high.strip("9"):
        return sequence(_digits(first, last), repeat(_DIGIT, 0, len(low)))
    rest = alternation(*_digits_between(low, high))
    return sequence(_digits(first, last), rest if low.strip("0") else optional(rest))


def _same_length(low: str, high: str) -> Node:
    """Strings of digits from ``low`` to ``high``, all of the same length."""
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
    """Strings of digits of the same length and with the same first digit as a bound.

    ``nearest`` is 9 for the strings from the bound up, and 0 for those from the bound down.
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

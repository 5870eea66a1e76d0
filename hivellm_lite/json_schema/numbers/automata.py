"""Makes automata for the numbers that ``nodes.py`` has no rule for, such as multiples of 7."""

from __future__ import annotations

from fractions import Fraction

from ...gbnf.build import NOTHING
from ...gbnf.syntax import Node
from ..shapes import Number, common_multiple
from ..strings.automata import NO_TEXT, TextAutomaton, TooLargeError, products
from ..strings.pattern_automata import tree_automaton
from .multiples import decimal_step, multiples_automaton
from .ranges import FLOAT_DIGITS, INTEGER_DIGITS, decimals, integers, whole_bounds

__all__ = ["number_automaton"]

_MAX_COUNTED_STATES = 2_000
"""States of an automaton that reads a number digit by digit and keeps the remainder."""


def number_automaton(shape: Number) -> TextAutomaton | None:
    """The numbers of a shape for which `number_node` returns None.

    None if an automaton for them has too many states.
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
    """The numbers within the bounds. A missing bound becomes a number of ``digits`` nines."""
    limit = Fraction(10**digits - 1)
    lower = -limit if shape.lower is None else shape.lower
    upper = limit if shape.upper is None else shape.upper
    if lower > upper:
        return NOTHING
    bounded = Number(lower, upper, shape.lower_open, shape.upper_open, shape.integer)
    if shape.integer:
        return integers(*whole_bounds(bounded))
    places = None
    if shape.multiple_of is not None:
        places = max(1, decimal_step(shape.multiple_of)[1])
    elif shape.lower is None and shape.upper is None:
        places = FLOAT_DIGITS - 1
    return decimals(bounded, places)

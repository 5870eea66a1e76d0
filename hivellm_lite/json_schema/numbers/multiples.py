"""Makes automata for multiples of a step. Their states hold the remainder so far."""

from __future__ import annotations

from fractions import Fraction

from ...gbnf.automata.dfa import Machine, Moves, minimal
from ..strings.automata import TextAutomaton, TooLargeError, character_classes

__all__ = ["decimal_step", "multiples_automaton"]

_MAX_STATES = 20_000


def decimal_step(step: Fraction) -> tuple[int, int]:
    """(units, places) of a step: a decimal with an end is a multiple of the step if and only if
    it is a multiple of ``units`` in the last of ``places`` decimal places.
    """
    rest = step.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    # No decimal with an end has the other primes in its denominator.
    step *= rest
    places = 0
    while step.denominator > 1:
        step *= 10
        places += 1
    return step.numerator, places


def multiples_automaton(step: Fraction) -> TextAutomaton:
    """Decimals without exponent, of any length, that are multiples of a positive step.

    Raises `TooLargeError`.
    """
    units, places = decimal_step(step)
    if units * (places + 2) > _MAX_STATES:
        raise TooLargeError("the step is too large")
    digit_sets = [((code, code),) for code in (*range(0x30, 0x3A), 0x2D, 0x2E)]
    classes = character_classes(digit_sets)
    number_of = {chr(part[0][0]): n for n, part in enumerate(classes) if part[0][0] == part[0][1]}
    digits = [number_of[str(digit)] for digit in range(10)]
    # State 0 is the beginning, state 1 follows the sign, others are (decimal places, remainder).
    first = 2

    def at(place: int, remainder: int) -> int:
        return first + (place + 1) * units + remainder % units

    moves: list[Moves] = []
    whole: Moves = {digits[d]: (at(-1, d),) for d in range(10)}
    moves.append({**whole, number_of["-"]: (1,)})
    moves.append({**whole})
    final = [False, False]
    for place in range(-1, places + 1):
        for remainder in range(units):
            row: Moves = {}
            if place < 0:
                row = {digits[d]: (at(-1, remainder * 10 + d),) for d in range(10)}
                row[number_of["."]] = (at(0, remainder),)
            elif place < places:
                row = {digits[d]: (at(place + 1, remainder * 10 + d),) for d in range(10)}
            else:
                row = {digits[0]: (at(place, remainder),)}
            moves.append(row)
            final.append(remainder * 10 ** (places - max(place, 0)) % units == 0)
    return TextAutomaton(classes, minimal(Machine(tuple(moves), tuple(final))))

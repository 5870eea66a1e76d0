"""Which adapters are computed with next: a batch never mixes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..engine import Applied

__all__ = ["LEAST_STEPS", "Turns", "turn_length"]

LEAST_STEPS = 4
"""Steps of the shortest turn."""

SWAPPING = 0.05
"""The part of the time that changes of adapters should take at most."""

SWAPPING_AT_MOST = 0.25
"""The part of the time that they may take where others would wait too long otherwise."""

FAIR_WAIT = 0.25
"""Seconds that an expert should wait for its turn at most."""

LONGEST_TURN = 1.0
"""Seconds of the longest turn."""


def turn_length(swap: float, step: float, n_others: int) -> int:
    """Steps of one expert before another's turn.

    ``swap`` and ``step`` are what a change of adapters and a step take, in seconds. ``n_others``
    experts wait meanwhile. The turn is long enough for the swaps to take little of the time, unless
    the others would wait too long; then they take more of it, up to a limit. No turn takes longer
    than `LONGEST_TURN`, whatever was measured.
    """
    wanted = _length(swap, step, SWAPPING)
    fair = FAIR_WAIT / (step * max(1, n_others))
    n = max(min(wanted, fair), _length(swap, step, SWAPPING_AT_MOST))
    return max(LEAST_STEPS, round(min(n, LONGEST_TURN / step)))


def _length(swap: float, step: float, part: float) -> float:
    """Steps of a turn in which a swap takes this part of the time."""
    return swap * (1 - part) / (part * step)


class Turns:
    """Whose turn it is, among the adapters that requests want to be computed with.

    ``length`` gives the steps of a turn while that many others wait.
    """

    def __init__(self, length: Callable[[int], int]) -> None:
        self._length = length
        self._current: Applied | None = None
        self._n_steps = 0
        self._last: dict[Applied, int] = {}
        self._clock = 0
        self.n_swaps = 0

    def next(self, wanted: Iterable[Applied]) -> Applied:
        """The adapters of the last step, until their turn is over; then those that waited longest.

        ``wanted`` are the adapters of one request or more.
        """
        choices = list(dict.fromkeys(wanted))
        self._clock += 1
        self._n_steps += 1
        n_others = len(choices) - 1
        over = n_others > 0 and self._n_steps > self._length(n_others)
        if self._current not in choices or over:
            self._last = {key: last for key, last in self._last.items() if key in choices}
            self._current = min(choices, key=lambda key: self._last.get(key, -1))
            self._n_steps = 1
            self.n_swaps += 1
        assert self._current is not None  # one of the choices  # noqa: S101
        self._last[self._current] = self._clock
        return self._current

    def forget(self) -> None:
        """Keep no reference to an adapter."""
        self._current, self._last = None, {}

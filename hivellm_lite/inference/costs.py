"""What a step and a change of adapters cost, as measured while computing.

After a change of adapters llama.cpp reserves its graph again in the next decode, and some devices
record their work again in the one after that. Both take their time inside the call. So the cost of
a change is what the first two calls take beyond the usual call. Where a call returns only when all
is computed, decodes of one token for each sequence are compared, because prompts differ in length.
"""

from __future__ import annotations

import statistics
from collections import deque

__all__ = ["N_AFFECTED", "StepCosts"]

N_AFFECTED = 2
"""Decodes after a change of adapters that take longer."""

FIRST_STEP = 0.01
"""Seconds of a step until one was measured."""

N_STEPS, N_SWAPS = 32, 9
"""Measurements that are kept."""

FEWEST = 3
"""Measurements of swaps that are believed: a single one may have been interrupted."""


class StepCosts:
    """Medians of the last measurements, in seconds."""

    def __init__(self, guess: float) -> None:
        """``guess``: steps that a change of adapters takes as long as, until there are
        measurements.
        """
        self._guess = guess
        self._calls: deque[float] = deque(maxlen=N_STEPS)
        self._steps: deque[float] = deque(maxlen=N_STEPS)
        self._swaps: deque[float] = deque(maxlen=N_SWAPS)
        self._first_calls: list[float] = []

    @property
    def step(self) -> float:
        """From the beginning of a decode to its logits."""
        return statistics.median(self._steps) if self._steps else FIRST_STEP

    @property
    def swap(self) -> float:
        """What a change of adapters adds to the decodes after it."""
        if len(self._swaps) < FEWEST:
            return self._guess * self.step
        return statistics.median(self._swaps)

    def add(self, n_since_swap: int, call: float, step: float) -> None:
        """Note a decode: how many came before it under the same adapters, the seconds of its call,
        and the seconds to its logits.
        """
        if n_since_swap >= N_AFFECTED:
            self._calls.append(call)
            self._steps.append(step)
            self._first_calls.clear()
            return
        if n_since_swap == 0:
            self._first_calls.clear()
        if n_since_swap == len(self._first_calls):
            self._first_calls.append(call)
        if len(self._first_calls) == N_AFFECTED and self._calls:
            usual = statistics.median(self._calls)
            self._swaps.append(max(0.0, sum(self._first_calls) - N_AFFECTED * usual))
            self._first_calls.clear()

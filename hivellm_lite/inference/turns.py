"""Which adapters are computed with next: a batch never mixes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..engine import Applied

__all__ = ["Turns"]

QUANTUM = 8
"""Steps of one expert before another's turn: the swap costs a fraction of one step."""


class Turns:
    """Whose turn it is, among the adapters that requests want to be computed with."""

    def __init__(self) -> None:
        self._current: Applied | None = None
        self._n_steps = 0
        self._last: dict[Applied, int] = {}
        self._clock = 0
        self.n_swaps = 0

    def next(self, wanted: Iterable[Applied]) -> Applied:
        """The adapters of the last step, for `QUANTUM` steps; then those that waited longest.

        ``wanted`` are the adapters of one request or more.
        """
        choices = list(dict.fromkeys(wanted))
        self._clock += 1
        self._n_steps += 1
        if self._current not in choices or (len(choices) > 1 and self._n_steps > QUANTUM):
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

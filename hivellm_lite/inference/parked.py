"""Prefixes of idle experts in host memory, within a limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .applied import uses

if TYPE_CHECKING:
    from ..engine import Adapter, Applied, KVState

__all__ = ["DEFAULT_PARKED_BYTES", "Parked", "ParkedStates", "common_prefix"]

DEFAULT_PARKED_BYTES = 256 << 20
"""Host memory for idle prefixes: about 2,300 positions of Qwen3-0.6B, 11,000 of SmolLM2-135M."""


@dataclass(eq=False)
class Parked:
    """A stream's content in host memory."""

    applied: Applied
    tokens: tuple[int, ...]
    n_prompt: int
    state: KVState
    last_used: int


class ParkedStates:
    """States of at most ``limit`` bytes together. The least recently used one is dropped first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.n_bytes = 0
        self.n_dropped = 0
        self._states: list[Parked] = []

    def __iter__(self) -> Iterator[Parked]:
        return iter(self._states)

    def __contains__(self, parked: object) -> bool:
        return parked in self._states

    def add(self, parked: Parked) -> None:
        """Hold a state; the states that it continues are not needed any more."""
        for other in list(self._states):
            n = len(other.tokens)
            continued = other.applied == parked.applied and other.tokens == parked.tokens[:n]
            if continued and other.n_prompt <= parked.n_prompt:
                self.remove(other)
        self._states.append(parked)
        self.n_bytes += parked.state.nbytes
        while self.n_bytes > self.limit:
            self.remove(min(self._states, key=lambda one: one.last_used))
            self.n_dropped += 1

    def remove(self, parked: Parked) -> None:
        """Hold a state no longer."""
        self._states.remove(parked)
        self.n_bytes -= parked.state.nbytes

    def forget(self, adapter: Adapter) -> None:
        """Hold nothing that was computed with an adapter."""
        for parked in list(self._states):
            if uses(parked.applied, adapter):
                self.remove(parked)


def common_prefix(held: Sequence[int], tokens: Sequence[int], limit: int) -> int:
    """How many leading tokens two lists share, at most ``limit``."""
    length = min(len(held), limit)
    # by halves: a slice compares in C, where a loop would ask token by token
    low, high = 0, max(0, length)
    while low < high:
        middle = (low + high + 1) // 2
        if list(held[low:middle]) == list(tokens[low:middle]):
            low = middle
        else:
            high = middle - 1
    return low

"""Which worker answers which line, and in which order the records are written.

Lines enter a *window* in their order, and their records leave it in this order, so what is held in
memory, and what an interruption can lose, is bounded. In the window the lines wait by expert.
A worker takes one expert's lines while there are any, because a model computes the answers of one
expert together. Then it takes the expert whose line has waited longest, of those that it has
already or that no worker has. Only a worker that finds no such line helps with an expert of
others, and has it from then on.

What a lost worker had not answered waits again. A line that lost two workers is asked alone the
third time, so only a line that ends workers itself is given up.

This module knows no transport: who the workers are, and how they are asked, is the caller's matter.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ..errors import InferenceError
from .answering import BatchLine, Record, failed

__all__ = ["Schedule"]

TRIES = 3
"""Workers that may be lost with a line before it is given up."""

AHEAD = 2
"""Lines that a worker has, in the answers that it computes together, so that it never waits."""


@dataclass(order=True)
class _Entry:
    """A line on its way. ``place`` counts the lines that are to be answered."""

    place: int
    line: BatchLine = field(compare=False)
    losses: int = field(compare=False, default=0)


@dataclass
class _Share:
    """What a worker has: lines that it answers, by index, experts, and the one it works for."""

    out: dict[int, _Entry] = field(default_factory=dict)
    experts: set[str] = field(default_factory=set)
    current: str = ""


class Schedule:
    """The lines of one run. Workers are names, which the caller gives."""

    def __init__(self, lines: Iterable[BatchLine], *, n_together: int, window: int) -> None:
        """``n_together``: answers that a worker computes at once. ``window``: lines that are held,
        from the first unwritten one on.
        """
        self._lines = iter(lines)
        self._n_places = AHEAD * n_together
        self._n_block = max(1, n_together // 2)
        self._window = window
        self._n_entered = self._n_written = 0
        self._is_read = False
        self._waiting: dict[str, list[_Entry]] = {}
        """By expert, heaps with the oldest line first."""
        self._suspects: list[_Entry] = []
        """Lines that lost two workers."""
        self._records: dict[int, Record] = {}
        self._shares: dict[str, _Share] = {}
        self._fill()

    def take(self, worker: str) -> list[BatchLine]:
        """A block of one expert's lines, which are the worker's until answered.

        Ask again until the block is empty: then the worker has enough, or there is nothing.
        """
        share = self._shares.setdefault(worker, _Share())
        if self._suspects or any(entry.losses == TRIES - 1 for entry in share.out.values()):
            if share.out or not self._suspects:
                return []
            return self._give(share, [self._suspects.pop()])
        n_free = self._n_places - len(share.out)
        expert = self._choose(share) if n_free > 0 else None
        if expert is None:
            return []
        share.experts.add(expert)
        share.current = expert
        waiting = self._waiting[expert]
        n_block = min(self._n_block, n_free, len(waiting))
        block = [heapq.heappop(waiting) for _ in range(n_block)]
        if not waiting:
            del self._waiting[expert]
        return self._give(share, block)

    def answered(self, worker: str, records: Iterable[Record]) -> None:
        """Note what a worker has answered."""
        out = self._shares[worker].out
        for record in records:
            self._records[out.pop(record["index"]).place] = record

    def lost(self, worker: str) -> int:
        """Forget a worker. Its lines wait for others; returns how many those are."""
        out = self._shares.pop(worker, _Share()).out
        for entry in out.values():
            entry.losses += 1
            if entry.losses == TRIES:
                self._records[entry.place] = failed(entry.line, _given_up())
            elif entry.losses == TRIES - 1:
                self._suspects.append(entry)
            else:
                self._wait(entry)
        return len(out)

    def ready(self) -> Iterator[Record]:
        """The records that can be written now, in the order of their lines."""
        while self._n_written in self._records:
            record = self._records.pop(self._n_written)
            self._n_written += 1
            self._fill()
            yield record

    @property
    def is_done(self) -> bool:
        """Whether every line's record has been taken."""
        return self._is_read and self._n_written == self._n_entered

    def _choose(self, share: _Share) -> str | None:
        """The expert whose lines a worker takes next; None if others should take what there is."""
        if share.current in self._waiting:
            return share.current
        homes = Counter(expert for other in self._shares.values() for expert in other.experts)
        own = [one for one in self._waiting if one in share.experts or one not in homes]
        if own:
            return min(own, key=lambda one: self._waiting[one][0])
        # what the experts' own workers will soon take is not worth loading an expert for
        n_soon = self._n_places if share.out else self._n_block
        surplus = {
            one: len(waiting) - n_soon * homes[one] for one, waiting in self._waiting.items()
        }
        chosen = max(surplus, key=lambda one: surplus[one], default=None)
        return None if chosen is None or surplus[chosen] <= 0 else chosen

    def _fill(self) -> None:
        """Let lines into the window. A line that makes no sense needs no worker."""
        while not self._is_read and self._n_entered - self._n_written < self._window:
            line = next(self._lines, None)
            if line is None:
                self._is_read = True
                return
            if line.problem is None:
                self._wait(_Entry(self._n_entered, line))
            else:
                self._records[self._n_entered] = failed(line, line.problem)
            self._n_entered += 1

    def _wait(self, entry: _Entry) -> None:
        heapq.heappush(self._waiting.setdefault(_expert_of(entry.line), []), entry)

    def _give(self, share: _Share, entries: list[_Entry]) -> list[BatchLine]:
        share.out.update((entry.line.index, entry) for entry in entries)
        return [entry.line for entry in entries]


def _expert_of(line: BatchLine) -> str:
    """The expert that a worker should have for a line; of a blend, the one with the most weight."""
    asked = line.expert
    return (
        asked if isinstance(asked, str) else max(asked, key=lambda one: abs(asked[one]), default="")
    )


def _given_up() -> Exception:
    return InferenceError(
        f"{TRIES} workers ended while they computed this line, the last one with no other line\n"
        "Ray's logs on the worker's node may say why; too little memory is the usual cause. Ask "
        "again with a shorter prompt or context."
    )

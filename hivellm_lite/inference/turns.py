"""What a scheduler computes for, and whose turn it is."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .decoding import Decoding
from .kv_streams import Parked, Stream

if TYPE_CHECKING:
    from ..engine import Applied, Row

__all__ = ["LOOKAHEAD", "Counters", "Member", "Piece", "Turns"]

QUANTUM = 8
"""Steps of one expert before another's turn: the swap costs a fraction of one step."""


LOOKAHEAD = 4
"""Pieces of a stream's text that are computed before its reader has taken them."""


@dataclass(eq=False)
class Member:
    """A submitted request. ``deliver`` gets every piece of text, and None at the end.

    ``deliver`` is called on the scheduler's thread and must not block. ``ahead``: pieces that
    may be delivered before the reader has taken them; None is no limit. Steps that show no text
    are not counted: the reader waits for text and cannot ask for more of them.

    The reader counts ``n_taken`` up, the scheduler everything else, so no lock is needed.
    """

    decoding: Decoding
    deliver: Callable[[str | None], None]
    ahead: int | None = None
    stream: Stream | None = None
    cancelled: str | None = None
    n_delivered: int = 0
    n_taken: int = 0
    parked: Parked | None = None
    """What was computed for it before another took its stream."""
    steps: list[int] = field(default_factory=list)
    """How many tokens there were each time it got logits; see `step_from`."""
    hungry: bool = True
    """Whether more is to be computed now."""
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def applied(self) -> Applied:
        return self.decoding.request.applied

    @property
    def n_prompt(self) -> int:
        return len(self.decoding.request.prompt)

    def step_from(self, position: int) -> tuple[int, int]:
        """Start and end of the step of the answer that computes ``position``.

        An answer that lost what it had computed is computed again in the same steps, so that
        every row has the company that it had.
        """
        step = bisect_right(self.steps, position)
        end = self.steps[step] if step < len(self.steps) else len(self.decoding.tokens)
        return self.steps[step - 1], end

    def give(self, text: str) -> None:
        """Deliver a piece of text."""
        self.n_delivered += 1
        self.deliver(text)

    def look_at_reader(self) -> None:
        """Pause when the reader is ``ahead`` pieces behind, until it has taken them all."""
        if self.ahead is not None:
            n_left = self.n_delivered - self.n_taken
            self.hungry = n_left == 0 or (self.hungry and n_left < self.ahead)


@dataclass(frozen=True)
class Piece:
    """What of a request is computed in one step; ``is_last`` if its logits are wanted."""

    member: Member
    stream: Stream
    tokens: list[int]
    is_prompt: bool
    is_last: bool

    def row(self) -> Row:
        from ..engine import Row

        position = len(self.stream.tokens)
        return Row(self.stream.index, position, self.tokens, n_logits=int(self.is_last))


@dataclass
class Counters:
    """What a scheduler did so far; ``active`` and ``queued`` are of now."""

    requests: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    generated_tokens: int = 0
    forced_tokens: int = 0
    steps: int = 0
    rows: int = 0
    swaps: int = 0
    preempted: int = 0
    active: int = 0
    queued: int = 0


class Turns:
    """Which adapters are computed with next: a batch never mixes them."""

    def __init__(self) -> None:
        self._current: Applied | None = None
        self._n_steps = 0
        self._last: dict[Applied, int] = {}
        self._clock = 0
        self.n_swaps = 0

    def next(self, members: Sequence[Member]) -> Applied:
        """The same as before for `QUANTUM` steps, then those that have waited longest."""
        wanted = list(dict.fromkeys(member.applied for member in members))
        self._clock += 1
        self._n_steps += 1
        if self._current not in wanted or (len(wanted) > 1 and self._n_steps > QUANTUM):
            self._last = {key: last for key, last in self._last.items() if key in wanted}
            self._current = min(wanted, key=lambda key: self._last.get(key, -1))
            self._n_steps = 1
            self.n_swaps += 1
        assert self._current is not None  # one of those wanted  # noqa: S101
        self._last[self._current] = self._clock
        return self._current

    def forget(self) -> None:
        """Hold on to no adapter."""
        self._current, self._last = None, {}

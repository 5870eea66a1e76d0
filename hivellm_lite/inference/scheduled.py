"""A request as the scheduler computes for it, and what the scheduler counts."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .applied import uses
from .context_streams import Stream
from .decoding import AnswerDecoding
from .parked import Parked

if TYPE_CHECKING:
    from ..engine import Adapter, Applied

__all__ = ["LOOKAHEAD", "Counters", "ScheduledRequest"]

LOOKAHEAD = 4
"""Pieces of a stream's text that are computed before its reader has taken them."""


@dataclass(eq=False)
class ScheduledRequest:
    """A submitted request. ``deliver`` gets every piece of text, and None at the end.

    ``deliver`` is called on the scheduler's thread and must not block. ``ahead``: pieces that
    may be delivered before the reader has taken them; None is no limit. Steps that show no text
    are not counted: the reader waits for text and cannot ask for more of them.

    The reader counts ``n_taken`` up, the scheduler everything else, so no lock is needed.
    """

    decoding: AnswerDecoding
    deliver: Callable[[str | None], object]
    ahead: int | None = None
    stream: Stream | None = None
    cancelled: str | None = None
    n_delivered: int = 0
    n_taken: int = 0
    parked: Parked | None = None
    """Its state, if another request has taken its stream."""
    steps: list[int] = field(default_factory=list)
    """The number of tokens at each time it got logits; see `step_from`."""
    hungry: bool = True
    """Whether more should be computed now."""
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def applied(self) -> Applied:
        return self.decoding.request.applied

    def uses(self, adapter: Adapter) -> bool:
        """Whether the request is computed with an adapter."""
        return uses(self.applied, adapter)

    @property
    def n_prompt(self) -> int:
        return len(self.decoding.request.prompt)

    def step_from(self, position: int) -> tuple[int, int]:
        """Start and end of the step of the answer that computes ``position``.

        An answer that lost its state is computed again in the same steps, so that each row is
        computed beside the same other rows.
        """
        step = bisect_right(self.steps, position)
        end = self.steps[step] if step < len(self.steps) else len(self.decoding.tokens)
        return self.steps[step - 1], end

    def give(self, text: str) -> None:
        """Deliver a piece of text."""
        self.n_delivered += 1
        self.deliver(text)

    def look_at_reader(self) -> None:
        """Pause when ``ahead`` pieces are waiting for the reader, until it has taken them all."""
        if self.ahead is not None:
            n_left = self.n_delivered - self.n_taken
            self.hungry = n_left == 0 or (self.hungry and n_left < self.ahead)


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
    wasted: int = 0
    overlapped: int = 0
    active: int = 0
    queued: int = 0

    def add(self, decoding: AnswerDecoding) -> None:
        """Count an answer that has ended."""
        self.finished += decoding.finish_reason in ("stop", "length")
        self.failed += decoding.error is not None
        self.cancelled += decoding.finish_reason in ("cancelled", "timeout")
        self.cached_prompt_tokens += decoding.cached
        self.generated_tokens += decoding.n_generated
        self.forced_tokens += decoding.n_forced

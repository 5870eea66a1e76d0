"""One context, the requests that are computed in it, and whose turn it is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .computation import Computation, Receiver
from .costs import StepCosts
from .turns import Turns, turn_length

if TYPE_CHECKING:
    from ..engine import Adapter, Applied, Model
    from .admission import Admission
    from .scheduled import ScheduledRequest

__all__ = ["Lane"]

SWAP_ON_CPU = 0.5
"""What a change of adapters takes on a CPU before one was measured, in steps."""

SWAP_ELSEWHERE = 12.0
"""The same on other devices, where llama.cpp reserves its graph and records it anew."""


class Lane:
    """See the module's docstring. ``owner``: the adapters that have the lane for themselves; None
    is the lane of all others.
    """

    def __init__(
        self,
        model: Model,
        owner: Applied | None,
        receiver: Receiver,
        make_admission: Callable[[Callable[[], None]], Admission],
        *,
        overlaps: bool,
    ) -> None:
        """``make_admission(settle)`` makes the context and what admits requests to it."""
        self.owner = owner
        self.costs = StepCosts(SWAP_ON_CPU if model.on_cpu else SWAP_ELSEWHERE)
        self.turns = Turns(self._turn_length)
        self.admission = make_admission(lambda: self.computation.finish())
        self.computation = Computation(
            model, self.admission, receiver, self.costs, overlaps=overlaps
        )
        self.last_used = time.monotonic()

    @property
    def hungry(self) -> list[ScheduledRequest]:
        """The requests that have a stream and want another step."""
        return [
            one
            for one in self.admission.active
            if one.hungry and one.cancelled is None and not one.decoding.ending
        ]

    @property
    def has_work(self) -> bool:
        """Whether `step` would do something."""
        return self.computation.is_underway or bool(self.hungry)

    @property
    def memory(self) -> int:
        """Bytes of the context, its buffers included."""
        return self.admission.kv.context.memory

    def counts(self) -> dict[str, int]:
        """What happened here so far, by the names of `scheduled.Counters`."""
        return {
            "steps": self.computation.n_calls,
            "rows": self.computation.n_rows,
            "swaps": self.turns.n_swaps,
            "preempted": self.admission.n_preempted,
            "wasted": self.computation.n_wasted,
        }

    def step(self) -> Sequence[ScheduledRequest]:
        """Read what was begun, and begin the next decode of one expert's requests.

        Returns the requests of that decode if the adapters were changed for them.
        """
        computation = self.computation
        computation.collect()
        computation.settle(before_decode=True)
        begun: Sequence[ScheduledRequest] = ()
        n_swaps = computation.n_swaps
        if hungry := self.hungry:
            self.last_used = time.monotonic()
            applied = self.turns.next(one.applied for one in hungry)
            begun = [one for one in hungry if one.applied == applied]
            computation.begin(applied, begun)
        computation.settle()
        computation.prepare()
        return begun if computation.n_swaps > n_swaps else ()

    def forget(self, adapter: Adapter) -> None:
        """Drop what was computed with an adapter. No request may use it."""
        self.admission.kv.forget(adapter)
        self.turns.forget()
        self.computation.forget()

    def close(self) -> None:
        """Free the context."""
        context = self.admission.kv.context
        if not context.closed:
            context.wait()
        context.close()

    def _turn_length(self, n_others: int) -> int:
        return turn_length(self.costs.swap, self.costs.step, n_others)

"""The contexts of one model: one that all experts share, and own ones of experts asked often.

A change of adapters is cheap on a CPU. On other devices llama.cpp reserves and records its graph
anew, which takes as long as a dozen steps. There an expert gets a context of its own as soon as
the changes of adapters made for it have taken as long as making a context takes (*rent or buy*: at
most twice the time of the better choice is ever spent). A context of one's own begins as large as
the requests that wait for it, and grows with them.

Own contexts have a limit in bytes. Where it is reached, the one that was used least recently is
given up, but only if it was not used since the newcomer began to pay: experts that are asked in
turn would otherwise take the contexts from each other all the time. What a given-up context holds
of prompts is parked.

The thread computes one step of each context in turn. Where decodes are asynchronous, the device
computes those of several contexts at a time.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import InferenceError, OutOfMemoryError
from .admission import Admission, stream_length
from .applied import uses
from .computation import Receiver
from .lane import Lane
from .options import SessionOptions
from .parked import ParkedStates
from .scheduled import ScheduledRequest

if TYPE_CHECKING:
    from ..engine import Adapter, Applied, Model

__all__ = ["Lanes"]

logger = logging.getLogger("hivellm_lite")

LEAST_SWAPS = 3
"""Changes of adapters before an expert gets a context, however little making one takes. Experts
that are asked in turn have all been used by then, and none takes another's context.
"""

LEAST_STREAMS = 4
"""Streams that an own context begins with, if they are within the limit."""

PATIENCE = 60.0
"""Seconds without a change of adapters after which an expert begins to pay anew."""

SPARE_BYTES = 256 << 20
"""Bytes of a device that are left to others."""

MOST_DEBTS = 256
"""Experts, or scales of them, that pay at the same time."""


@dataclass
class _Debt:
    """What changes of adapters for one expert have taken: seconds, since when, until when.

    ``length``: positions of its longest request.
    """

    since: float
    until: float
    paid: float = 0.0
    n_swaps: int = 0
    length: int = 0


class Lanes:
    """See the module's docstring."""

    def __init__(self, model: Model, options: SessionOptions, receiver: Receiver) -> None:
        self._model = model
        self._options = options
        self._receiver = receiver
        self._parked = ParkedStates(options.parked_bytes)
        self.overlaps = _decodes_ahead(model)
        """Whether the device computes while this thread does other things."""
        started = time.perf_counter()
        self.shared = self._make(None)
        self._price = time.perf_counter() - started
        self.own: dict[Applied, Lane] = {}
        self._ring = deque([self.shared])
        self.most = self.own_limit = _own_limit(model, options)
        """Bytes that own contexts may take together; ``most`` if nobody says less."""
        self._debts: dict[Applied, _Debt] = {}
        self._gone: Counter[str] = Counter()
        self.n_made = 0
        """Own contexts that were made."""
        self.n_given_up = 0
        """Own contexts that were given up for others."""
        self.n_overlapped = 0
        """Steps that were begun while another context's step was computed."""

    # --- from any thread -------------------------------------------------------------

    def __iter__(self) -> Iterator[Lane]:
        return iter([self.shared, *list(self.own.values())])

    @property
    def parked(self) -> ParkedStates:
        """The prefixes in host memory, of all contexts."""
        return self._parked

    @property
    def own_memory(self) -> int:
        """Bytes of the own contexts."""
        return sum(lane.memory for lane in list(self.own.values()))

    @property
    def requests(self) -> list[ScheduledRequest]:
        """All requests that have not ended."""
        return [request for lane in self for request in lane.admission.requests]

    def of(self, applied: Applied, length: int = 1) -> Lane:
        """Where ``length`` positions with these adapters are computed."""
        lane = self.own.get(applied, self.shared)
        return lane if lane.admission.can_hold(length) else self.shared

    def where(self, request: ScheduledRequest) -> Lane:
        """The lane that has a request."""
        own = self.own.get(request.applied)
        return own if own is not None and request in own.admission.requests else self.shared

    # --- on the scheduler's thread ---------------------------------------------------

    def take_in(self, requests: Iterable[ScheduledRequest]) -> None:
        """Let new requests wait where they are computed."""
        for request in requests:
            self.of(request.applied, request.decoding.length).admission.take_in([request])

    def admit(self) -> list[tuple[ScheduledRequest, InferenceError]]:
        """Give streams to waiting requests; returns those that can have none, with the reason."""
        refused = []
        for lane in self:
            without = lane.admission.admit() if lane.admission.waiting else []
            if lane.owner is not None:
                without = self._bring_home(lane, without)
            refused += without
        return refused

    @property
    def has_work(self) -> bool:
        """Whether `step` would compute something."""
        return any(lane.has_work for lane in self)

    def step(self) -> None:
        """One step of the lane whose turn it is."""
        if self.own_memory > self.own_limit:
            self._give_up_until(self.own_limit, time.monotonic())
        for _ in range(len(self._ring)):
            lane = self._ring[0]
            self._ring.rotate(-1)
            if lane.has_work:
                others = any(one.computation.is_underway for one in self if one is not lane)
                n_calls = lane.computation.n_calls
                swapped = lane.step()
                self.n_overlapped += others and lane.computation.n_calls > n_calls
                if lane is self.shared and swapped:
                    self._charge(swapped)
                return

    def finish(self) -> None:
        """Read what was begun in all contexts, and hand it out."""
        for lane in self:
            lane.computation.finish()

    def abandon(self) -> None:
        """Let devices end what was begun; nobody gets it."""
        for lane in self:
            lane.computation.abandon()

    def limit(self, n_bytes: int) -> None:
        """Let own contexts take so many bytes together. Those that are in use stay until they are
        not.
        """
        self.own_limit = min(n_bytes, self.most)
        self._give_up_until(self.own_limit, time.monotonic())

    def forget(self, adapter: Adapter) -> None:
        """Drop all that was computed with an adapter. No request may use it."""
        for applied, lane in list(self.own.items()):
            if uses(applied, adapter):
                self._remove(lane)
        for applied in [one for one in self._debts if uses(one, adapter)]:
            del self._debts[applied]
        for lane in self:
            lane.forget(adapter)

    def close(self) -> None:
        """Free all contexts."""
        for lane in self:
            lane.close()

    def forget_step(self) -> list[ScheduledRequest]:
        """In a forked child no step runs; returns the requests that the parent had."""
        requests = []
        for lane in self:
            lane.computation.forget_step()
            requests += lane.admission.forget_all()
        return requests

    # --- counting --------------------------------------------------------------------

    def counts(self) -> dict[str, int]:
        """What `scheduled.Counters` has of contexts, also of those that were given up."""
        totals = Counter(self._gone)
        for lane in self:
            totals.update(lane.counts())
        return totals

    def describe(self) -> str:
        """Which experts have contexts of their own and why, in a sentence or two."""
        costs = self.shared.costs
        swap, step = costs.swap * 1e3, costs.step * 1e3
        if self.own_limit == 0:
            why = "a CPU" if self._model.on_cpu else "own_context_bytes=0"
            return f"all experts share one context ({why}); a swap takes {swap:.1f} ms"
        return (
            f"{len(self.own)} own contexts take {self.own_memory / 1e6:.0f} of "
            f"{self.own_limit / 1e6:.0f} MB; a swap takes {swap:.1f} ms, a step {step:.1f} ms, "
            f"making a context {self._price * 1e3:.0f} ms"
        )

    # --- making and giving up --------------------------------------------------------

    def _make(self, owner: Applied | None, first: tuple[int, int] | None = None) -> Lane:
        options, model = self._options, self._model
        if first is None and model.on_cpu:  # clearing a long one takes a tenth of a second
            first = (1, stream_length(model, options.context.n_ctx, 1))

        def admission(settle: Callable[[], None]) -> Admission:
            return Admission(
                model,
                options.context,
                max_streams=options.max_streams,
                kv_positions=options.kv_positions or max(8192, 4 * options.context.n_ctx),
                parked=self._parked,
                first=first,
                allows=lambda *shape: owner is None or self._allows(owner, *shape),
                settle=settle,
            )

        return Lane(model, owner, self._receiver, admission, overlaps=self.overlaps)

    def _bytes(self, n_streams: int, n_ctx: int) -> int:
        from ..engine import Context  # loads llama.cpp

        return Context.bytes_for(
            self._model, replace(self._options.context, n_ctx=n_ctx), n_streams
        )

    def _allows(self, owner: Applied, n_streams: int, n_ctx: int) -> bool:
        """Whether an own context may have this shape."""
        lane = self.own.get(owner)
        others = self.own_memory - (lane.memory if lane is not None else 0)
        return others + self._bytes(n_streams, n_ctx) <= self.own_limit

    def _charge(self, requests: Iterable[ScheduledRequest]) -> None:
        """The adapters were changed for these requests; give their expert a context if it paid
        enough.
        """
        requests, now = list(requests), time.monotonic()
        applied = requests[0].applied
        if self.own_limit == 0 or applied in self.own:  # too long for its own context
            return
        debt = self._debts.get(applied)
        if debt is None or now - debt.until > PATIENCE:
            self._debts.pop(applied, None)
            debt = self._debts[applied] = _Debt(now, now)
            while len(self._debts) > MOST_DEBTS:
                del self._debts[next(iter(self._debts))]
        debt.until = now
        debt.n_swaps += 1
        debt.paid += self.shared.costs.swap
        debt.length = max(debt.length, *(one.decoding.length for one in requests), 1)
        if debt.paid >= self._price and debt.n_swaps >= LEAST_SWAPS:
            self._give(applied, debt)

    def _give(self, applied: Applied, debt: _Debt) -> None:
        """Make a context for one expert, if there is room, and move its requests there."""
        shared, started = self.shared, time.perf_counter()
        shared.computation.finish()
        moving = [one for one in shared.admission.requests if one.applied == applied]
        longest = max([debt.length, *(one.decoding.length for one in moving)])
        n_ctx = stream_length(self._model, shared.admission.n_ctx, longest)
        n_streams = min(max(LEAST_STREAMS, len(moving)), self._options.max_streams)
        while n_streams > 1 and self._bytes(n_streams, n_ctx) > self.own_limit:
            n_streams -= 1
        if not self._make_room(self._bytes(n_streams, n_ctx), debt.since):
            return
        try:
            lane = self._make(applied, (n_streams, n_ctx))
        except OutOfMemoryError as error:
            self.most = self.own_limit = self.own_memory
            logger.warning("no more contexts of single experts' own: %s", error)
            return
        self._price = time.perf_counter() - started
        self._debts.pop(applied, None)
        self.n_made += 1
        self.own[applied] = lane
        self._ring.append(lane)
        shared.admission.kv.park_idle(applied)
        lane.admission.take_in(shared.admission.hand_over(moving))
        logger.debug("an expert has a context of its own now: %s", self.describe())

    def _make_room(self, n_bytes: int, since: float) -> bool:
        """See that an own context of this size is within the limit."""
        if n_bytes > self.own_limit:
            return False
        self._give_up_until(self.own_limit - n_bytes, since)
        free = self._model.free_device_memory()
        fits = free is None or n_bytes + SPARE_BYTES <= free
        return fits and self.own_memory + n_bytes <= self.own_limit

    def _give_up_until(self, limit: int, since: float) -> None:
        """Give up own contexts that nobody uses and that were last used before ``since``."""
        idle = [lane for lane in self.own.values() if not lane.admission.requests]
        for lane in sorted(idle, key=lambda one: one.last_used):
            if self.own_memory <= limit or lane.last_used > since:
                return
            lane.computation.finish()
            assert lane.owner is not None  # it is an own one  # noqa: S101
            lane.admission.kv.park_idle(lane.owner)
            self._remove(lane)
            self.n_given_up += 1

    def _remove(self, lane: Lane) -> None:
        assert lane.owner is not None  # only own ones are removed  # noqa: S101
        self._gone.update(lane.counts())
        del self.own[lane.owner]
        self._ring.remove(lane)
        lane.close()

    def _bring_home(
        self, lane: Lane, refused: list[tuple[ScheduledRequest, InferenceError]]
    ) -> list[tuple[ScheduledRequest, InferenceError]]:
        """Let requests wait for the shared context that cannot be computed in their own one."""
        admission = lane.admission
        lacking = [one for one, error in refused if isinstance(error, OutOfMemoryError)]
        if lacking:
            self.most = self.own_limit = self.own_memory
        if not admission.active:  # nobody will give way
            lacking = [one for one in admission.waiting if one.hungry]
        self.shared.admission.take_in(admission.hand_over(lacking))
        if admission.kv.context.closed:
            self.shared.admission.take_in(admission.hand_over(admission.requests))
            self._remove(lane)
        return [(one, error) for one, error in refused if one not in lacking]


def _decodes_ahead(model: Model) -> bool:
    """Whether a decode may return before it is computed, so that other work fits in between.

    ``HIVELLM_OVERLAP`` = 0 or 1 decides by hand.
    """
    choice = os.environ.get("HIVELLM_OVERLAP")
    return not model.on_cpu if choice is None else choice == "1"


def _own_limit(model: Model, options: SessionOptions) -> int:
    """The bytes that own contexts may take: what the options say, or half of a device's memory."""
    if options.own_context_bytes is not None:
        return options.own_context_bytes
    free = None if model.on_cpu or not options.shared else model.free_device_memory()
    return 0 if free is None else free // 2

"""Which requests have a stream of the KV cache, and which wait for one.

Requests are admitted in the order of their arrival, so none starves. A request whose prompt
shares a prefix with one that is being computed waits for that prefix, and copies it. The KV cache
grows with the requests, as far as the limits allow; paused requests give way to others.

Not thread-safe: the scheduler's thread calls it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..engine.sizes import PAD
from ..engine.virtual_tokens import n_virtual
from ..errors import InferenceError, OutOfMemoryError
from .kv_streams import WORTH_RESTORING, KVStreams
from .parked import ParkedStates, common_prefix
from .scheduled import ScheduledRequest

if TYPE_CHECKING:
    from ..engine import Context, ContextOptions, Model

__all__ = ["Admission", "stream_length"]

logger = logging.getLogger("hivellm_lite")


class Admission:
    """See the module's docstring."""

    def __init__(
        self,
        model: Model,
        options: ContextOptions,
        *,
        max_streams: int,
        kv_positions: int,
        parked: ParkedStates,
        first: tuple[int, int] | None = None,
        allows: Callable[[int, int], bool] = lambda _n_streams, _n_ctx: True,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        """At most ``max_streams`` requests have a stream. Their streams hold ``kv_positions``
        positions together; one of them may always have ``options.n_ctx``.

        ``first``: streams and positions to begin with; None is one stream of all positions. The
        context takes another shape only where ``allows(n_streams, n_ctx)``. ``settle`` is called
        before requests lose a stream or the context, to read what was computed for them.
        """
        self._model = model
        self._options = options
        self._max_streams = max_streams
        self._allows = allows
        self._settle = settle
        n_streams, n_ctx = first or (1, options.n_ctx)
        self.kv = KVStreams(self._make_context, n_streams, n_ctx, parked=parked, settle=settle)
        self.n_ctx = -(-options.n_ctx // PAD) * PAD
        """Positions that one sequence may have."""
        self._budget = max(kv_positions, self.n_ctx)
        self.waiting: list[ScheduledRequest] = []
        self.active: list[ScheduledRequest] = []
        self.n_preempted = 0

    @property
    def requests(self) -> list[ScheduledRequest]:
        """All requests that have not ended."""
        return [*self.active, *self.waiting]

    def take_in(self, requests: Iterable[ScheduledRequest]) -> None:
        """Let new requests wait for streams."""
        self.waiting += requests

    def remove(self, request: ScheduledRequest) -> None:
        """Forget a request that has ended; its stream is free."""
        if request.stream is not None:
            self.kv.release(request.stream)
            request.stream = None
        (self.active if request in self.active else self.waiting).remove(request)

    def hand_over(self, requests: Iterable[ScheduledRequest]) -> list[ScheduledRequest]:
        """Forget requests that another context computes from now on; returns those that can move.

        What was computed of them is parked. The active ones of a model whose streams cannot be
        copied stay.
        """
        moved = []
        for request in requests:
            if request.stream is not None:
                if not self.kv.context.closed:
                    if not self.kv.can_copy:
                        continue
                    request.parked = self.kv.park(request.stream)
                request.stream = None
                self.active.remove(request)
            else:
                self.waiting.remove(request)
            moved.append(request)
        return moved

    def forget_all(self) -> list[ScheduledRequest]:
        """Forget every request, in a forked child; returns them."""
        requests = self.requests
        self.active, self.waiting = [], []
        for stream in self.kv.streams:
            stream.busy = False
        for request in requests:
            request.stream = None
        return requests

    def admit(self) -> list[tuple[ScheduledRequest, InferenceError]]:
        """Give streams to waiting requests, in the order of their arrival.

        Returns the requests that can have none, with the reason.
        """
        self.kv.clean()
        refused: list[tuple[ScheduledRequest, InferenceError]] = []
        hungry = [request for request in self.waiting if request.hungry]
        for request in hungry:
            if self._will_be_shared(request):
                continue
            decoding, own = request.decoding, request.parked
            try:
                if not self.make_room(decoding.length, hungry):
                    break
                stream = self.kv.acquire(request.applied, decoding.request.prompt, own=own)
            except InferenceError as error:
                refused.append((request, error))
                continue
            request.parked = None
            decoding.admit(cached=len(stream.tokens))
            request.stream = stream
            self.waiting.remove(request)
            self.active.append(request)
        return refused

    def _will_be_shared(self, request: ScheduledRequest) -> bool:
        """Whether another request is about to compute what this one can then copy."""
        prompt = request.decoding.request.prompt
        worth = self.kv.best_shared(request.applied, prompt) + WORTH_RESTORING
        return any(
            other.stream is not None
            and len(other.stream.tokens) < other.n_prompt
            and other.applied == request.applied
            and other.hungry
            and self._could_share(other, prompt) >= worth
            for other in self.active
        )

    def _could_share(self, other: ScheduledRequest, prompt: list[int]) -> int:
        same = common_prefix(other.decoding.request.prompt, prompt, len(prompt))
        shape = self._model.row_shape
        return shape.n_reusable(same, len(prompt), n_virtual=n_virtual(prompt))

    def make_room(
        self, length: int, hungry: Sequence[ScheduledRequest] = (), *, at_once: bool = False
    ) -> bool:
        """See that a free stream of ``length`` positions exists; False if it must wait.

        Paused requests give way; with ``at_once`` all others do, too. ``hungry`` are the requests
        that a larger KV cache should have room for. Raises OutOfMemoryError if not even one
        stream fits.
        """
        self.kv.clean()
        if not self._has_room(length):
            self._settle()
        can_grow = True
        while not self._has_room(length):
            if can_grow and (shape := self._shape(length, hungry)) is not None:
                try:
                    self.kv.resize(*shape)
                except OutOfMemoryError:
                    if not self.active:
                        raise
                    can_grow, self._max_streams = False, len(self.kv.streams)
                    logger.warning(
                        "memory does not hold %d KV streams of %d positions; going on with %d",
                        *shape,
                        self._max_streams,
                    )
            else:
                giving_way = [m for m in self.active if at_once or not m.hungry]
                if not giving_way:
                    return False
                self.preempt(giving_way[-1])
                can_grow = True
        return True

    def _has_room(self, length: int) -> bool:
        return self.kv.n_free > 0 and length <= self.kv.context.n_ctx

    def can_hold(self, length: int) -> bool:
        """Whether some shape that is allowed has a stream of ``length`` positions."""
        return length <= self.kv.context.n_ctx or self._allows(1, self._stream_length(length))

    def _stream_length(self, length: int) -> int:
        return stream_length(self._model, self.n_ctx, length)

    def _most_streams(self, n_ctx: int) -> int:
        return min(self._max_streams, self._budget // n_ctx)

    def _shape(self, length: int, hungry: Sequence[ScheduledRequest]) -> tuple[int, int] | None:
        """Streams and positions of a larger KV cache for the active and some waiting requests."""
        longest = self._stream_length(max([length, *(m.decoding.length for m in self.active)]))
        n = 1 + len(self.active)
        if n > self._max_streams or (n > 1 and n * longest > self._budget):
            return None
        fitting = sum(request.decoding.length <= longest for request in hungry)
        wanted = min(self._most_streams(longest), len(self.active) + fitting)
        if not self._model.on_cpu:  # there a context is dearer to make than to have
            wanted = max(wanted, min(2 * len(self.kv.streams), self._most_streams(longest)))
        shapes = ((max(n, wanted), longest), (n, longest))
        return next((shape for shape in shapes if self._allows(*shape)), None)

    def preempt(self, request: ScheduledRequest) -> None:
        """Take a request's stream. The request waits for another one."""
        assert request.stream is not None  # active requests have one  # noqa: S101
        request.parked = self.kv.park(request.stream)
        request.stream = None
        self.n_preempted += 1
        self.active.remove(request)
        self.waiting.append(request)

    def _make_context(self, n_streams: int, n_ctx: int) -> Context:
        from ..engine import Context  # loads llama.cpp

        return Context(self._model, replace(self._options, n_ctx=n_ctx), n_streams)


def stream_length(model: Model, n_ctx: int, length: int) -> int:
    """Positions of the streams of a context where ``length`` of at most ``n_ctx`` are needed.

    llama.cpp chooses LongRoPE's factors by the length of a stream. That of a session stays on one
    side, whatever shape its cache takes.
    """
    switch = model.long_rope_above
    least = PAD if switch is None or n_ctx <= switch else switch + 1
    return min(max(least, 1 << (length - 1).bit_length()), -(-n_ctx // PAD) * PAD)

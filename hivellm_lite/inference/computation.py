"""What llama.cpp computes in one context: steps of requests, and tokens beside the requests.

A step has two halves. `Computation.begin` decodes. `Computation.collect` reads the logits and
chooses the next tokens, which the next decode needs; `Computation.settle` shows their text and
hands it out, which nothing waits for. Where decodes are asynchronous, a decode returns before it
is computed, and its logits are collected later: meanwhile texts are settled, masks of grammars are
prepared, and other contexts begin their decodes. Elsewhere a step is collected and settled at once.

Everything here runs on the scheduler's thread, but for `Computation.is_worth_interrupting`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from ..engine.not_numbers import NotNumbersError
from ..engine.rows import Row
from ..engine.virtual_tokens import n_virtual
from ..errors import InferenceError
from ..process.state import computing
from .costs import StepCosts
from .scheduled import ScheduledRequest
from .steps import Piece, Steps, is_prefilling, stream_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..engine import Applied, Context, Model
    from .admission import Admission

__all__ = ["Computation", "Receiver"]

_T = TypeVar("_T")

FEW = 8
"""Answers whose texts are looked through for stop sequences before their next rows are begun. Of
more, a row that is computed in vain costs less than looking through all texts first."""


class Receiver(Protocol):
    """Who gets what is computed for requests."""

    def decide(self, request: ScheduledRequest, logits: NDArray[np.float32]) -> bool:
        """Choose the request's next tokens from the logits (n_vocab,) after its last one, which the
        next decode overwrites. False if the request has failed and is gone.
        """

    def show(self, request: ScheduledRequest) -> None:
        """Hand out the text of the tokens that were decided."""

    def fail(self, request: ScheduledRequest, error: Exception) -> None:
        """llama.cpp refuses the request, or a defect ends it."""


@dataclass(frozen=True)
class _Decode:
    """A decode whose logits have not been read."""

    context: Context
    pieces: Sequence[Piece]
    started: float
    call: float
    n_since_swap: int


class Computation:
    """Computes in one context, one call of llama.cpp at a time in the whole process.

    ``overlaps``: decodes are asynchronous, see the module's docstring.
    """

    def __init__(
        self,
        model: Model,
        admission: Admission,
        receiver: Receiver,
        costs: StepCosts,
        *,
        overlaps: bool,
    ) -> None:
        self._model = model
        self._admission = admission
        self._receiver = receiver
        self._costs = costs
        self._overlaps = overlaps
        self._decode_begun: _Decode | None = None
        self._unsettled: list[ScheduledRequest] = []
        self._together: tuple[ScheduledRequest, ...] = ()
        self._prefilling = False
        self._n_since_swap = 0
        self._last: Applied | None = None
        self.n_calls = 0
        """Calls of llama.cpp for requests."""
        self.n_rows = 0
        """Requests in these calls, each counted in every call."""
        self.n_swaps = 0
        """Changes of the adapters from those of the step before."""
        self.n_wasted = 0
        """Rows of answers that had ended when their logits came."""

    @property
    def is_underway(self) -> bool:
        """Whether a decode was begun whose logits have not been read."""
        return self._decode_begun is not None

    def is_worth_interrupting(self, request: ScheduledRequest) -> bool:
        """Whether to throw away the step that runs when this request ends. Any thread may ask.

        A step in which other requests get their next token is not worth throwing away.
        """
        together = self._together
        return request in together and (self._prefilling or len(together) == 1)

    def forget_step(self) -> None:
        """Nobody waits any more for what was begun; in a forked child, no step runs."""
        self._together = ()
        self._decode_begun = None
        self._unsettled.clear()

    def abandon(self) -> None:
        """Let the device end what was begun; nobody gets it."""
        begun = self._decode_begun
        self.forget_step()
        if begun is not None and not begun.context.closed:
            begun.context.wait()

    def begin(self, applied: Applied, requests: Sequence[ScheduledRequest]) -> None:
        """Decode the next tokens of requests with the same adapters."""
        kv = self._admission.kv
        if len(requests) > 1:
            kv.close_gaps(map(stream_of, requests))
        self._prefilling = is_prefilling(requests)
        self._together = tuple(requests)
        context, model = kv.context, self._model
        steps = Steps(model.row_shape, context.n_batch, context.n_ubatch, model.on_cpu)
        try:
            for pieces in steps.next(requests):
                self._decode(applied, pieces)
        finally:
            self._together = ()
            context.resume()

    def collect(self) -> None:
        """Wait for the logits of the decode that was begun, and have the next tokens chosen."""
        begun, self._decode_begun = self._decode_begun, None
        if begun is None:
            return
        begun.context.wait()
        if self._overlaps or all(len(piece.tokens) == 1 for piece in begun.pieces):
            self._costs.add(begun.n_since_swap, begun.call, time.perf_counter() - begun.started)
        deciding = [piece.request for piece in begun.pieces if piece.is_last]
        if not deciding:
            return
        rows = begun.context.logits_of(range(len(deciding)))
        for request, logits in zip(deciding, rows, strict=True):
            if request.decoding.finished:
                self.n_wasted += 1
            elif self._receiver.decide(request, logits):
                self._unsettled.append(request)

    def settle(self, *, before_decode: bool = False) -> None:
        """Hand out the texts of the tokens that were chosen.

        ``before_decode``: only if that pays, see `FEW`.
        """
        unsettled = self._unsettled
        if before_decode and not (
            len(unsettled) < FEW and any(one.decoding.may_stop for one in unsettled)
        ):
            return
        self._unsettled = []
        for request in unsettled:
            self._receiver.show(request)

    def forget(self) -> None:
        """Keep no reference to an adapter."""
        self._last = None

    def finish(self) -> None:
        """Collect and settle what was begun: afterwards no logits are wanted of the context."""
        self.collect()
        self.settle()

    def prepare(self) -> None:
        """While the decode that was begun is computed, do what its logits do not decide."""
        begun = self._decode_begun
        for piece in begun.pieces if begun is not None else ():
            if piece.is_last and not piece.request.decoding.finished:
                try:
                    piece.request.decoding.prepare()
                except Exception as error:  # a defect ends this answer, not those beside it
                    self._receiver.fail(piece.request, error)

    def _decode(self, applied: Applied, pieces: Sequence[Piece]) -> None:
        """Decode pieces of several requests together.

        If llama.cpp refuses them together, each is tried alone, so that one request fails
        and not all. A model that cannot cut back has lost their streams by then.
        """
        from ..engine import InterruptedDecodeError  # loads llama.cpp

        self.finish()  # the logits of the last decode are overwritten
        context = self._admission.kv.context
        changes = context.applied != applied  # also in a context that was made anew
        started = time.perf_counter()
        try:
            # the model's lock first: loading an adapter must not keep other models waiting
            with self._model.adapting, computing:
                context.apply(applied)
                context.decode([piece.row() for piece in pieces])
        except InterruptedDecodeError:
            return
        except InferenceError as error:
            if len(pieces) > 1 and self._model.cuts_back:
                for piece in pieces:
                    self._decode(applied, [piece])
            else:
                for piece in pieces:
                    self._receiver.fail(piece.request, error)
            return
        call = time.perf_counter() - started
        self.n_calls += 1
        self.n_rows += len(pieces)
        self.n_swaps += self._last not in (None, applied)
        self._last = applied
        self._n_since_swap = 0 if changes else self._n_since_swap + 1
        for piece in pieces:
            piece.stream.tokens += piece.tokens
        self._decode_begun = _Decode(context, pieces, started, call, self._n_since_swap)
        if not self._overlaps:
            self.finish()

    def beside(
        self,
        applied: Applied,
        tokens: list[int],
        n_logits: int,
        read: Callable[[Context, int], _T],
    ) -> _T:
        """Compute ``tokens`` in some stream; requests give way if none is free.

        Returns what ``read(context, end)`` makes of the logits of the last ``n_logits`` tokens;
        ``end`` is the index of the last one's. After a NotNumbersError of ``read`` the stream is
        not trusted.
        """
        self.finish()
        self._admission.make_room(len(tokens), at_once=True)
        kv = self._admission.kv
        context, shape = kv.context, self._model.row_shape
        stream = kv.acquire(applied, tokens, n_logits)
        try:
            with self._model.adapting, computing:
                context.apply(applied)
                end, virtual = 0, n_virtual(tokens)
                while (place := len(stream.tokens)) < len(tokens):
                    # the wanted logits must come out of one call
                    left = len(tokens) - place
                    n = shape.n_next(place, left, context.n_ubatch, n_logits, n_virtual=virtual)
                    chunk = tokens[place : place + n]
                    n_wanted = n_logits if n == left else 0
                    (end,) = context.decode([Row(stream.index, place, chunk, n_wanted)])
                    stream.tokens += chunk
            return read(context, end)
        except NotNumbersError:
            kv.distrust(stream)
            raise
        finally:
            kv.release(stream)

"""What llama.cpp computes for the scheduler: steps of requests, and tokens beside the requests.

Everything here runs on the scheduler's thread, but for `Computation.is_worth_interrupting`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..engine.not_numbers import NotNumbersError
from ..engine.rows import Row
from ..engine.virtual_tokens import n_virtual
from ..errors import InferenceError
from ..process.state import computing
from .scheduled import ScheduledRequest
from .steps import Piece, Steps, is_prefilling, stream_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..engine import Applied, Context, Model
    from .admission import Admission

__all__ = ["Computation"]

_T = TypeVar("_T")


class Computation:
    """Computes with one model, one call of llama.cpp at a time in the whole process.

    ``give`` gets a request and the logits (n_vocab,) after its last token, which the next call
    overwrites. ``fail`` gets a request that llama.cpp refuses, and the reason.
    """

    def __init__(
        self,
        model: Model,
        admission: Admission,
        *,
        give: Callable[[ScheduledRequest, NDArray[np.float32]], None],
        fail: Callable[[ScheduledRequest, InferenceError], None],
    ) -> None:
        self._model = model
        self._admission = admission
        self._give = give
        self._fail = fail
        self._together: tuple[ScheduledRequest, ...] = ()
        self._prefilling = False
        self.n_calls = 0
        """Calls of llama.cpp for requests."""
        self.n_rows = 0
        """Requests in these calls, each counted in every call."""

    def is_worth_interrupting(self, request: ScheduledRequest) -> bool:
        """Whether to throw away the step that runs when this request ends. Any thread may ask.

        A step in which other requests get their next token is not worth throwing away.
        """
        together = self._together
        return request in together and (self._prefilling or len(together) == 1)

    def forget_step(self) -> None:
        """In a forked child no step runs."""
        self._together = ()

    def step(self, applied: Applied, requests: Sequence[ScheduledRequest]) -> None:
        """Compute the next tokens of requests with the same adapters."""
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

    def _decode(self, applied: Applied, pieces: Sequence[Piece]) -> None:
        """Decode pieces of several requests together and hand over the logits.

        If llama.cpp refuses them together, each is tried alone, so that one request fails
        and not all. A model that cannot cut back has lost their streams by then.
        """
        from ..engine import InterruptedDecodeError  # loads llama.cpp

        context = self._admission.kv.context
        try:
            # the model's lock first: loading an adapter must not keep other models waiting
            with self._model.adapting, computing:
                context.apply(applied)
                ends = context.decode([piece.row() for piece in pieces])
        except InterruptedDecodeError:
            return
        except InferenceError as error:
            if len(pieces) > 1 and self._model.cuts_back:
                for piece in pieces:
                    self._decode(applied, [piece])
            else:
                for piece in pieces:
                    self._fail(piece.request, error)
            return
        self.n_calls += 1
        self.n_rows += len(pieces)
        for piece, end in zip(pieces, ends, strict=True):
            piece.stream.tokens += piece.tokens
            if piece.is_last:
                self._give(piece.request, context.logits(end))

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

"""One thread that computes for all: continuous batches on the streams of one model.

Any thread submits requests. The scheduler's thread has them admitted to a KV stream
(`Admission`), lets the experts take turns (`Turns`), since a batch never mixes adapters, cuts
their work into steps (`Steps`), and hands each request its logits.

All state belongs to that thread (`ComputeThread`); others send it tasks. All of llama.cpp's
computing happens there, one step at a time in the whole process (`process.state.computing`).
What this module does not know: grammars, text, experts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ..engine.rows import Row
from ..errors import InferenceError, LoadError
from ..process.state import computing, forget_on_fork
from .admission import Admission
from .compute_thread import ComputeThread
from .scheduled import Counters, ScheduledRequest
from .steps import Piece, Steps, is_prefilling, stream_of
from .turns import Turns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..engine import Adapter, Applied, Context, ContextOptions, KVState, Model
    from .kv_streams import KVStreams

__all__ = ["Scheduler"]

_T = TypeVar("_T")

_FORKED = (
    "this process was forked after the model was loaded on a device that a child cannot use\n"
    "Load the expert in the child."
)


class Scheduler:
    """See the module's docstring."""

    def __init__(
        self,
        model: Model,
        options: ContextOptions,
        *,
        max_streams: int,
        kv_positions: int,
        parked_bytes: int,
    ) -> None:
        """The limits are those of `Admission`."""
        self._model = model
        self.admission = Admission(
            model,
            options,
            max_streams=max_streams,
            kv_positions=kv_positions,
            parked_bytes=parked_bytes,
        )
        self._counters = Counters()
        self._computing: tuple[ScheduledRequest, ...] = ()
        self._prefilling = False
        self._turns = Turns()
        self._thread = ComputeThread(self, "the model of this request was closed")
        forget_on_fork(self, self._thread.stepping)

    # --- from any thread -------------------------------------------------------------

    @property
    def kv(self) -> KVStreams:
        """What the KV cache holds; only for reading, and on other threads a glance at most."""
        return self.admission.kv

    @property
    def n_ctx(self) -> int:
        """Positions that one sequence may have."""
        return self.admission.n_ctx

    @property
    def context_options(self) -> ContextOptions:
        """How the context is made, with the device's own choices filled in."""
        return self.kv.context.options

    @property
    def counters(self) -> Counters:
        """What happened so far, and how many requests there are now."""
        admission = self.admission
        return replace(
            self._counters,
            swaps=self._turns.n_swaps,
            preempted=admission.n_preempted,
            active=len(admission.active),
            queued=len(admission.waiting),
        )

    def submit(self, requests: Iterable[ScheduledRequest]) -> None:
        """Take requests in. Raises InferenceError after `close` and at the program's end."""
        taken = list(requests)
        self._thread.submit(lambda: self._take_in(taken))

    def want_more(self) -> None:
        """The reader of a stream waits for text. Never waits."""
        self._thread.wake()

    def cancel(self, request: ScheduledRequest, reason: str = "cancelled") -> None:
        """End a request as soon as possible; ``deliver(None)`` says when. Never waits."""
        if request.cancelled is None and not request.decoding.finished:
            request.cancelled = reason
            together = self._computing
            # a step in which others get their next token is not worth throwing away
            if request in together and (self._prefilling or len(together) == 1):
                self.interrupt()
            self._thread.wake()

    def interrupt(self) -> None:
        """Make a step that runs return soon. What it computed is computed again."""
        self.kv.context.interrupt()

    def call(self, function: Callable[[], _T]) -> _T:
        """Run ``function`` on the scheduler's thread, between two steps."""
        return self._thread.call(function)

    def latest(self, applied: Applied) -> tuple[list[int], KVState] | None:
        """The prompt that was used last under these adapters; see `KVStreams.latest`."""
        return self.call(lambda: self.kv.latest(applied))

    def adopt(self, applied: Applied, tokens: list[int], state: KVState) -> None:
        """Hold a saved state; see `KVStreams.adopt`.

        Raises LoadError also for a state that is longer than the context.
        """
        if len(tokens) > self.n_ctx:
            raise LoadError(
                f"a saved state of {len(tokens)} tokens does not fit a context of {self.n_ctx}\n"
                f"Load the expert with n_ctx={len(tokens)} or more."
            )

        def adopt() -> None:
            self.admission.make_room(len(tokens), at_once=True)
            self.kv.adopt(applied, tokens, state)

        self.call(adopt)

    def compute(
        self,
        tokens: list[int],
        applied: Applied,
        n_logits: int,
        read: Callable[[Context, int], _T],
    ) -> _T:
        """Compute ``tokens`` beside the requests, and ``read`` the logits of the last ``n_logits``.

        ``read(context, end)`` is called with the index of the last one's logits, on the
        scheduler's thread.
        """
        return self.call(lambda: read(*self._borrow(applied, tokens, n_logits)))

    def forget(self, adapter: Adapter) -> None:
        """End what uses an adapter, drop what was computed with it, and free it.

        Waits for that unless this is a thread that computes.
        """
        for request in self.admission.using(adapter):
            self.cancel(request)
        self._thread.do(lambda: self._forget(adapter))

    def close(self, last: Callable[[], object] = lambda: None) -> None:
        """Cancel everything, end the thread, and free the context; then run ``last``.

        Nothing is freed under a step that runs: the thread frees it, after its last step. Waits
        for that unless this is a thread that computes.
        """

        def free() -> None:
            self.kv.context.close()
            last()

        self._thread.close(free)

    def forget_other_threads(self) -> None:
        """In a forked child: see `process.state`."""
        self._thread.forget_other_threads(None if self._model.on_cpu else _FORKED)
        self._computing = ()
        for request in self.admission.forget_all():
            # the thread that delivered is not there; a reader sees `ended`
            request.ended = threading.Event()
            request.decoding.fail(InferenceError("this answer was begun before the process forked"))
            request.ended.set()
        if self._model.on_cpu:
            self.kv.context.resume()
        else:
            self._model.disown()

    # --- on the scheduler's thread ---------------------------------------------------

    def has_work(self) -> bool:
        """Whether a request waits to be computed or ended."""
        requests = self.admission.requests
        for request in requests:
            request.look_at_reader()
        return any(one.hungry or one.cancelled for one in requests)

    def step(self) -> None:
        """End what was cancelled, admit what fits, and compute one batch."""
        for request in self.admission.requests:
            if request.cancelled is not None:
                request.decoding.finish(request.cancelled)
                self._retire(request)
        for request, error in self.admission.admit():
            self._retire(request, error)
        self._step()

    def fail_all(self, error: BaseException) -> None:
        """End every request: cancelled when the scheduler was closed, otherwise failed."""
        closed = self._thread.stopping
        for request in self.admission.requests:
            if closed:
                request.decoding.finish(request.cancelled or "cancelled")
            self._retire(request, None if closed else error)

    def _take_in(self, requests: Sequence[ScheduledRequest]) -> None:
        self.admission.take_in(requests)
        self._counters.requests += len(requests)
        self._counters.prompt_tokens += sum(one.n_prompt for one in requests)

    def _retire(self, request: ScheduledRequest, error: BaseException | None = None) -> None:
        """Let a request that has ended, or now fails, go."""
        decoding = request.decoding
        if error is not None:
            decoding.fail(error)
        self.admission.remove(request)
        self._counters.add(decoding)
        request.ended.set()
        request.deliver(None)

    def _step(self) -> None:
        """Compute one batch: the next token of each hungry request of one expert."""
        hungry = [one for one in self.admission.active if one.hungry and one.cancelled is None]
        if not hungry:
            return
        applied = self._turns.next(hungry)
        requests = [one for one in hungry if one.applied == applied]
        if len(requests) > 1:
            self.kv.close_gaps(map(stream_of, requests))
        self._prefilling = is_prefilling(requests)
        self._computing = tuple(requests)
        context, model = self.kv.context, self._model
        steps = Steps(model.row_shape, context.n_batch, context.n_ubatch, model.on_cpu)
        try:
            for pieces in steps.next(requests):
                self._decode(applied, pieces)
        finally:
            self._computing = ()
            self.kv.context.resume()

    def _decode(self, applied: Applied, pieces: Sequence[Piece]) -> None:
        """Decode pieces of several requests together and hand over the logits.

        If llama.cpp refuses them together, each is tried alone, so that one request fails
        and not all.
        """
        from ..engine import InterruptedDecodeError  # loads llama.cpp

        context = self.kv.context
        try:
            # the model's lock first: what loads an adapter shall not keep other models waiting
            with self._model.adapting, computing:
                context.apply(applied)
                ends = context.decode([piece.row() for piece in pieces])
        except InterruptedDecodeError:
            return
        except InferenceError as error:
            if len(pieces) == 1:
                self._retire(pieces[0].request, error)
            else:
                for piece in pieces:
                    self._decode(applied, [piece])
            return
        self._counters.steps += 1
        self._counters.rows += len(pieces)
        for piece, end in zip(pieces, ends, strict=True):
            piece.stream.tokens += piece.tokens
            if piece.is_last:
                self._give(piece.request, context.logits(end))

    def _give(self, request: ScheduledRequest, logits: NDArray[np.float32]) -> None:
        """Hand a request its logits, and its reader the text that comes of them."""
        request.steps.append(len(request.decoding.tokens))
        try:
            shown = request.decoding.take(logits)
        except Exception as error:  # a defect ends this answer, not those beside it
            self._retire(request, error)
            return
        if shown:
            request.give(shown)
            request.look_at_reader()
        if request.decoding.finished:
            self._retire(request)

    def _borrow(self, applied: Applied, tokens: list[int], n_logits: int) -> tuple[Context, int]:
        """Compute ``tokens`` in some stream; the context then has the logits of the last
        ``n_logits``, and the index of the last of them is returned.
        """
        self.admission.make_room(len(tokens), at_once=True)
        context = self.kv.context
        stream = self.kv.acquire(applied, tokens, n_logits)
        try:
            with self._model.adapting, computing:
                context.apply(applied)
                end = 0
                while (place := len(stream.tokens)) < len(tokens):
                    # the wanted logits must come out of one call
                    left = len(tokens) - place
                    n = self._model.row_shape.n_next(place, left, context.n_ubatch, n_logits)
                    last = n == left
                    chunk = tokens[place : place + n]
                    (end,) = context.decode([Row(stream.index, place, chunk, n_logits * last)])
                    stream.tokens += chunk
        finally:
            self.kv.release(stream)
        return context, end

    def _forget(self, adapter: Adapter) -> None:
        if self.kv.context.closed:  # the program ends, and all was freed
            return
        for request in self.admission.using(adapter):
            request.decoding.finish("cancelled")
            self._retire(request)
        self.kv.forget(adapter)
        self._turns.forget()
        adapter.close()

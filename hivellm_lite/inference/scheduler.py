"""One thread that computes for all: continuous batches on the contexts of one model.

Any thread submits requests. The scheduler's thread has them admitted to a KV stream of a context
(`Lanes`, `Admission`), lets the experts of a context take turns (`Lane`, `Turns`), since a batch
never mixes adapters, computes a step of one expert's requests (`Computation`), and hands each
request its logits.

All state belongs to that thread (`ComputeThread`); others send it tasks. All of llama.cpp's
computing happens there, one call at a time in the whole process (`process.state.computing`).
What this module does not know: grammars, text, experts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from ..engine.not_numbers import NotNumbersError
from ..errors import InferenceError, LoadError
from ..process.state import forget_on_fork
from .admission import Admission
from .compute_thread import ComputeThread
from .lanes import Lanes
from .options import SessionOptions
from .scheduled import Counters, ScheduledRequest

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

    def __init__(self, model: Model, options: SessionOptions) -> None:
        self._model = model
        self._counters = Counters()
        self._lanes = Lanes(model, options, self)
        self._thread = ComputeThread(self, "the model of this request was closed")
        forget_on_fork(self, self._thread.stepping)

    # --- from any thread -------------------------------------------------------------

    @property
    def lanes(self) -> Lanes:
        """The contexts; only for reading, and on other threads a glance at most."""
        return self._lanes

    @property
    def admission(self) -> Admission:
        """What admits requests to the shared context; only for reading."""
        return self._lanes.shared.admission

    @property
    def kv(self) -> KVStreams:
        """What the KV cache of the shared context holds; only for reading."""
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
        return replace(
            self._counters,
            **self._lanes.counts(),
            overlapped=self._lanes.n_overlapped,
            active=sum(len(lane.admission.active) for lane in self._lanes),
            queued=sum(len(lane.admission.waiting) for lane in self._lanes),
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
            for lane in self._lanes:
                if lane.computation.is_worth_interrupting(request):
                    lane.admission.kv.context.interrupt()
            self._thread.wake()

    def interrupt(self) -> None:
        """Make a step that runs return soon. What it computed is computed again."""
        for lane in self._lanes:
            lane.admission.kv.context.interrupt()

    def call(self, function: Callable[[], _T]) -> _T:
        """Run ``function`` on the scheduler's thread, between two steps."""
        return self._thread.call(function)

    def latest(
        self, applied: Applied, prefix: Sequence[int] = ()
    ) -> tuple[list[int], KVState] | None:
        """The prompt that was used last under these adapters; see `KVStreams.latest`."""

        def latest() -> tuple[list[int], KVState] | None:
            lane = self._lanes.of(applied)
            lane.computation.finish()
            return lane.admission.kv.latest(applied, prefix)

        return self.call(latest)

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
            lane = self._lanes.of(applied, len(tokens))
            lane.computation.finish()
            lane.admission.make_room(len(tokens), at_once=True)
            lane.admission.kv.adopt(applied, tokens, state)

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

        def compute() -> _T:
            lane = self._lanes.of(applied, len(tokens))
            return lane.computation.beside(applied, tokens, n_logits, read)

        return self.call(compute)

    def limit_own_contexts(self, n_bytes: int) -> None:
        """Let the contexts of single experts take so many bytes together. Does not wait."""
        if self._lanes.own_limit != min(n_bytes, self._lanes.most):
            self._thread.post(lambda: self._lanes.limit(n_bytes))

    def forget(self, adapter: Adapter) -> None:
        """End what uses an adapter, drop what was computed with it, and free it.

        Waits for that unless this is a thread that computes.
        """
        for request in self._lanes.requests:
            if request.uses(adapter):
                self.cancel(request)
        self._thread.do(lambda: self._forget(adapter))

    def close(self, last: Callable[[], object] = lambda: None) -> None:
        """Cancel everything, end the thread, and free the context; then run ``last``.

        Nothing is freed under a step that runs: the thread frees it, after its last step. Waits
        for that unless this is a thread that computes.
        """

        def free() -> None:
            self._lanes.close()
            last()

        self._thread.close(free)

    def forget_other_threads(self) -> None:
        """In a forked child: see `process.state`."""
        self._thread.forget_other_threads(None if self._model.on_cpu else _FORKED)
        for request in self._lanes.forget_step():
            # the thread that delivered is not there; a reader sees `ended`
            request.ended = threading.Event()
            request.decoding.fail(InferenceError("this answer was begun before the process forked"))
            request.ended.set()
        if self._model.on_cpu:
            for lane in self._lanes:
                lane.admission.kv.context.resume()
        else:
            self._model.disown()

    # --- on the scheduler's thread ---------------------------------------------------

    def has_work(self) -> bool:
        """Whether a request waits to be computed or ended."""
        requests = self._lanes.requests
        for request in requests:
            request.look_at_reader()
        return self._lanes.has_work or any(one.hungry or one.cancelled for one in requests)

    def step(self) -> None:
        """End what was cancelled, admit what fits, and compute one step of one context."""
        for request in self._lanes.requests:
            if request.cancelled is not None:
                request.decoding.finish(request.cancelled)
                self._retire(request)
        for request, error in self._lanes.admit():
            self._retire(request, error)
        self._lanes.step()

    def fail_all(self, error: BaseException) -> None:
        """End every request: cancelled when the scheduler was closed, otherwise failed."""
        closed = self._thread.stopping
        self._lanes.abandon()
        for request in self._lanes.requests:
            if closed:
                request.decoding.finish(request.cancelled or "cancelled")
            self._retire(request, None if closed else error)

    # --- what is computed; see `Receiver` --------------------------------------------

    def decide(self, request: ScheduledRequest, logits: NDArray[np.float32]) -> bool:
        """Have a request's next tokens chosen; False if it failed."""
        request.steps.append(len(request.decoding.tokens))
        try:
            request.decoding.decide(logits)
        except Exception as error:  # a defect ends this answer, not those beside it
            self._retire(request, error)
            return False
        return True

    def show(self, request: ScheduledRequest) -> None:
        """Hand a request's reader the text of the tokens that were chosen."""
        try:
            shown = request.decoding.show()
        except Exception as error:  # as above
            self._retire(request, error)
            return
        if shown:
            request.give(shown)
            request.look_at_reader()
        if request.decoding.finished:
            self._retire(request)

    def fail(self, request: ScheduledRequest, error: Exception) -> None:
        """End a request with an error."""
        self._retire(request, error)

    def _take_in(self, requests: Sequence[ScheduledRequest]) -> None:
        self._lanes.take_in(requests)
        self._counters.requests += len(requests)
        self._counters.prompt_tokens += sum(one.n_prompt for one in requests)

    def _retire(self, request: ScheduledRequest, error: BaseException | None = None) -> None:
        """Let a request that has ended, or now fails, go."""
        decoding = request.decoding
        if error is not None:
            decoding.fail(error)
        admission = self._lanes.where(request).admission
        if isinstance(error, NotNumbersError) and request.stream is not None:
            admission.kv.distrust(request.stream)
        admission.remove(request)
        self._counters.add(decoding)
        request.ended.set()
        request.deliver(None)

    def _forget(self, adapter: Adapter) -> None:
        if self.kv.context.closed:  # the program ends, and all was freed
            return
        self._lanes.finish()
        for request in self._lanes.requests:
            if request.uses(adapter):
                request.decoding.finish("cancelled")
                self._retire(request)
        self._lanes.forget(adapter)
        adapter.close()

"""One thread that computes for all: continuous batches on the streams of one model.

Any thread submits a `Decoding`; the scheduler's thread gives it a KV stream, computes
it together with all others that use the same adapters, and hands its text over. Others
take turns: a batch never mixes adapters. Requests are admitted in the order of their
arrival, so none starves; those that share the beginning of their prompt with one that
is being computed wait for that and copy it.

The thread lives while there is work and a little longer. All of llama.cpp's computing
happens on it, one step at a time in the whole process: its threads spin, and two models
that compute beside each other on the same cores are many times slower than one after the
other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, TypeVar

from .errors import InferenceError, LoadError, OutOfMemoryError
from .kv_streams import WORTH_RESTORING, KVStreams, Stream, common_prefix
from .members import Counters, Member, Piece, Turns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .engine import Adapter, Context, ContextOptions, KVState, Model
    from .engine.context import Applied

__all__ = ["LOOKAHEAD", "Scheduler"]

logger = logging.getLogger("hivellm_lite")

PREFILL_BESIDE = 128
"""Prompt tokens computed in one step while others wait for their next token."""

LOOKAHEAD = 4
"""Tokens of a stream that are computed before its reader has taken the last one."""

LINGER = 2.0
"""Seconds that the idle thread waits for more work. Then it returns free memory to the system,
and the next swap, which needs it again, is some milliseconds slower.
"""

GLANCE = 0.05
"""Seconds after which the idle thread looks whether the program ends: that waits for it."""

PAD = 256
"""llama.cpp rounds the length of a stream up to this."""

_T = TypeVar("_T")
_compute = threading.Lock()


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
        """``max_streams`` sequences are computed together at most, and ``kv_positions``
        positions of KV cache held for them; one sequence may always have ``options.n_ctx``.
        """
        self._model = model
        self._options = options
        self._max_streams = max_streams
        self.kv = KVStreams(self._make_context, options.n_ctx, parked_bytes=parked_bytes)
        self.n_ctx = self.kv.context.n_ctx
        self._budget = max(kv_positions, self.n_ctx)
        self.counters = Counters()
        self._changed = threading.Condition()
        self._calls: deque[Callable[[], None]] = deque()
        self._waiting: list[Member] = []
        self._active: list[Member] = []
        self._computing: list[Member] = []
        self._prefilling = False
        self._turns = Turns()
        self._thread: threading.Thread | None = None
        self._closed = False

    # --- from any thread -------------------------------------------------------------

    def submit(self, members: Iterable[Member]) -> None:
        """Take requests in. Raises InferenceError after `close`."""
        with self._changed:
            if self._closed:
                raise InferenceError("the model of this request was closed")
            for member in members:
                self._waiting.append(member)
                self.counters.requests += 1
                self.counters.prompt_tokens += len(member.decoding.request.prompt)
            self._wake()

    def grant(self, member: Member) -> None:
        """The reader of a stream wants more."""
        with self._changed:
            member.credit = LOOKAHEAD
            self._wake()

    def cancel(self, member: Member, reason: str = "cancelled") -> None:
        """End a request as soon as possible; ``deliver(None)`` says when."""
        with self._changed:
            if member.cancelled is None and not member.decoding.finished:
                member.cancelled = reason
                if member in self._computing and (self._prefilling or len(self._computing) == 1):
                    self.kv.context.interrupt()
                self._wake()

    def call(self, function: Callable[[], _T]) -> _T:
        """Run ``function`` on the scheduler's thread, between two steps."""
        if threading.current_thread() is self._thread:
            return function()
        future: Future[_T] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        with self._changed:
            self._calls.append(run)
            self._wake()
        return future.result()

    def close(self) -> None:
        """Cancel everything and end the thread. The context is freed with its model."""
        with self._changed:
            self._closed = True
            for member in (*self._waiting, *self._active):
                member.cancelled = member.cancelled or "cancelled"
            if self._computing:
                self.kv.context.interrupt()
            thread = self._thread
            if thread is None and (self._waiting or self._active):
                self._wake()
                thread = self._thread
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _wake(self) -> None:
        # in a forked process the thread of the old one is not there
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="hivellm-lite")
            self._thread.start()
        self._changed.notify_all()

    # --- on the scheduler's thread ---------------------------------------------------

    def _work(self) -> None:
        try:
            while self._await_work():
                while self._calls:
                    self._calls.popleft()()
                self._end_cancelled()
                self._admit()
                self._step()
            from .engine import return_free_memory

            return_free_memory()
        except BaseException as error:
            with self._changed:
                self._thread = None
                for member in [*self._active, *self._waiting]:
                    self._retire(member, error)
            raise

    def _await_work(self) -> bool:
        with self._changed:
            self._count()
            if self._has_work() or self._linger():
                return True
            self._thread = None
            return False

    def _linger(self) -> bool:
        """Wait a while for more work; whether it came."""
        main, until = threading.main_thread(), time.monotonic() + LINGER
        while not (self._closed or self._has_work()):
            woken = self._changed.wait(GLANCE)
            if not woken and (time.monotonic() > until or not main.is_alive()):
                break
        return self._has_work()

    def _has_work(self) -> bool:
        members = (*self._active, *self._waiting)
        return bool(self._calls) or any(m.hungry or m.cancelled for m in members)

    def _count(self) -> None:
        self.counters.active, self.counters.queued = len(self._active), len(self._waiting)

    def _end_cancelled(self) -> None:
        for member in [*self._active, *self._waiting]:
            if member.cancelled is not None:
                member.decoding.finish(member.cancelled)
                self._retire(member)

    def _retire(self, member: Member, error: BaseException | None = None) -> None:
        """Let a request that has ended, or now fails, go."""
        decoding = member.decoding
        if error is not None:
            decoding.fail(error)
        if member.stream is not None:
            self.kv.release(member.stream)
            member.stream = None
        with self._changed:
            (self._active if member in self._active else self._waiting).remove(member)
            counters = self.counters
            counters.finished += decoding.finish_reason in ("stop", "length")
            counters.failed += decoding.error is not None
            counters.cancelled += decoding.finish_reason in ("cancelled", "timeout")
            counters.cached_prompt_tokens += decoding.cached
            counters.generated_tokens += decoding.n_generated
            counters.forced_tokens += decoding.n_forced
            self._count()
        member.deliver(None)

    # --- admission -------------------------------------------------------------------

    def _admit(self) -> None:
        with self._changed:
            hungry = [member for member in self._waiting if member.hungry]
        for member in hungry:
            if self._will_be_shared(member):
                continue
            try:
                fits = self._make_room(member.decoding.length, hungry)
            except InferenceError as error:
                self._retire(member, error)
                continue
            if not fits:
                return
            decoding = member.decoding
            stream = self.kv.acquire(member.applied, decoding.tokens)
            if decoding.n_generated == 0:
                decoding.cached = len(stream.tokens)
            member.stream = stream
            with self._changed:
                self._waiting.remove(member)
                self._active.append(member)

    def _will_be_shared(self, member: Member) -> bool:
        """Whether another request is about to compute what this one can then copy."""
        tokens = member.decoding.tokens
        worth = self.kv.best_shared(member.applied, tokens) + WORTH_RESTORING
        return any(
            other.stream is not None
            and len(other.stream.tokens) < len(other.decoding.request.prompt)
            and other.applied == member.applied
            and other.hungry
            and common_prefix(other.decoding.tokens, tokens, len(tokens) - 1) >= worth
            for other in self._active
        )

    def _make_room(self, length: int, hungry: list[Member], *, at_once: bool = False) -> bool:
        """See that a free stream of ``length`` positions exists; False: not now.

        Paused requests give way, and with ``at_once`` every other one too.
        """
        can_grow = True
        while not (self.kv.n_free and length <= self.kv.context.n_ctx):
            if can_grow and (shape := self._shape(length, hungry)) is not None:
                try:
                    self.kv.resize(*shape)
                except OutOfMemoryError:
                    if not self._active:
                        raise
                    can_grow, self._max_streams = False, len(self.kv.streams)
                    logger.warning(
                        "memory does not hold %d KV streams of %d positions; going on with %d",
                        *shape,
                        self._max_streams,
                    )
            else:
                giving_way = [m for m in self._active if at_once or not m.hungry]
                if not giving_way:
                    return False
                self._preempt(giving_way[-1])
                can_grow = True
        return True

    def _shape(self, length: int, hungry: list[Member]) -> tuple[int, int] | None:
        """Streams and positions of a larger KV cache for the active and some waiting requests."""
        n, longest = 1, max([length, *(m.decoding.length for m in self._active)])
        longest = min(max(PAD, 1 << (longest - 1).bit_length()), self.n_ctx)
        n += len(self._active)
        if n > self._max_streams or (n > 1 and n * longest > self._budget):
            return None
        fitting = sum(member.decoding.length <= longest for member in hungry)
        wanted = min(self._max_streams, self._budget // longest, len(self._active) + fitting)
        return max(n, wanted), longest

    def _preempt(self, member: Member) -> None:
        """Take a request's stream; it gets another when its turn comes again."""
        assert member.stream is not None  # active requests have one  # noqa: S101
        self.kv.park(member.stream)
        member.stream = None
        self.counters.preempted += 1
        with self._changed:
            self._active.remove(member)
            self._waiting.append(member)

    def _make_context(self, n_streams: int, n_ctx: int) -> Context:
        from dataclasses import replace

        from .engine import Context

        return Context(self._model, replace(self._options, n_ctx=n_ctx), n_streams)

    # --- computing -------------------------------------------------------------------

    def _step(self) -> None:
        """Compute one batch: the next token of each hungry request of one expert."""
        with self._changed:
            hungry = [m for m in self._active if m.hungry and m.cancelled is None]
            if not hungry:
                return
            applied = self._turns.next(hungry)
            self.counters.swaps = self._turns.n_swaps
            members = [m for m in hungry if m.applied == applied]
            self._computing = members
        if len(members) > 1:
            self.kv.close_gaps(map(_stream_of, members))
        room = self._prompt_room(members)
        pieces = []
        for member in sorted(members, key=_stream_index):
            stream = _stream_of(member)
            pending = member.decoding.tokens[len(stream.tokens) :]
            is_prompt = len(pending) > LOOKAHEAD
            n = min(len(pending), room) if is_prompt else len(pending)
            room -= n if is_prompt else 0
            if n:
                pieces.append(Piece(member, stream, pending[:n], is_last=n == len(pending)))
        try:
            for together in _groups(pieces) if self._model.on_cpu else [pieces]:
                self._compute(applied, together)
        finally:
            with self._changed:
                self._computing = []
                self.kv.context.resume()

    def _compute(self, applied: Applied, pieces: Sequence[Piece]) -> None:
        """Decode pieces of several requests together and hand over what comes of it.

        If llama.cpp refuses them together, each is tried alone, so that one request fails
        and not all.
        """
        from .engine import InterruptedDecodeError

        context = self.kv.context
        try:
            with _compute:
                context.apply(applied)
                ends = context.decode([piece.row() for piece in pieces])
        except InterruptedDecodeError:
            return
        except InferenceError as error:
            if len(pieces) == 1:
                self._retire(pieces[0].member, error)
            else:
                for piece in pieces:
                    self._compute(applied, [piece])
            return
        self.counters.steps += 1
        self.counters.rows += len(pieces)
        for piece, end in zip(pieces, ends, strict=True):
            piece.stream.tokens += piece.tokens
            if piece.is_last:
                self._give(piece.member, context.logits(end))

    def _prompt_room(self, members: list[Member]) -> int:
        """Prompt tokens for this step, and whether it has any."""
        waiting = [len(m.decoding.tokens) - len(_stream_of(m).tokens) <= LOOKAHEAD for m in members]
        self._prefilling = not all(waiting)
        n_batch = self.kv.context.n_batch
        return min(PREFILL_BESIDE, n_batch // 2) if any(waiting) else n_batch

    def _give(self, member: Member, logits: NDArray[np.float32]) -> None:
        """Hand a request its logits, and its reader the text that comes of them."""
        try:
            shown = member.decoding.take(logits)
        except Exception as error:  # a defect ends this answer, not those beside it
            self._retire(member, error)
            return
        with self._changed:
            if member.credit is not None:
                member.credit -= 1
        if shown:
            member.deliver(shown)
        if member.decoding.finished:
            self._retire(member)

    # --- beside the requests, through `call` -----------------------------------------

    def borrow(self, applied: Applied, tokens: list[int], n_logits: int) -> tuple[Context, int]:
        """Compute ``tokens`` in some stream; the context then has the logits of the last
        ``n_logits``, and the index of the last of them is returned.
        """
        from .engine import Row

        self._make_room(len(tokens), [], at_once=True)
        context = self.kv.context
        stream = self.kv.acquire(applied, tokens, n_logits)
        try:
            with _compute:
                context.apply(applied)
                end = 0
                while (place := len(stream.tokens)) < len(tokens):
                    # the wanted logits must come out of one call
                    left = len(tokens) - place
                    last = left <= context.n_batch
                    n = left if last else min(context.n_batch, left - n_logits)
                    chunk = tokens[place : place + n]
                    (end,) = context.decode([Row(stream.index, place, chunk, n_logits * last)])
                    stream.tokens += chunk
        finally:
            self.kv.release(stream)
        return context, end

    def adopt(self, applied: Applied, tokens: list[int], state: KVState) -> None:
        """Hold a saved state; see `KVStreams.adopt`."""
        if len(tokens) > self.n_ctx:
            raise LoadError(
                f"a saved state of {len(tokens)} tokens does not fit a context of {self.n_ctx}\n"
                f"Load the expert with n_ctx={len(tokens)} or more."
            )
        self._make_room(len(tokens), [], at_once=True)
        self.kv.adopt(applied, tokens, state)

    def forget(self, adapter: Adapter) -> None:
        """End what uses an adapter, drop what was computed with it, and free it."""
        for member in [*self._active, *self._waiting]:
            if any(one is adapter for one, _ in member.applied):
                member.decoding.finish("cancelled")
                self._retire(member)
        self.kv.forget(adapter)
        self._turns.forget()
        adapter.close()


def _groups(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Single tokens together, and each longer piece alone, as it is for a lone request.

    Those are of prompts, or forced by a grammar. A CPU computes a prompt no faster beside others,
    and other kernels take over where rows of
    several streams are mixed: their last bits differ, and with them an answer now and then.
    """
    single = [piece for piece in pieces if len(piece.tokens) == 1]
    prompts = [[piece] for piece in pieces if len(piece.tokens) > 1]
    return [single, *prompts] if single else prompts


def _stream_of(member: Member) -> Stream:
    assert member.stream is not None  # active requests have one  # noqa: S101
    return member.stream


def _stream_index(member: Member) -> int:
    return _stream_of(member).index

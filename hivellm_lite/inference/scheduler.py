"""One thread that computes for all: continuous batches on the streams of one model.

Any thread submits a `Decoding`; the scheduler's thread gives it a KV stream, computes
it together with all others that use the same adapters, and hands its text over. Others
take turns: a batch never mixes adapters. Requests are admitted in the order of their
arrival, so none starves; those that share the beginning of their prompt with one that
is being computed wait for that and copy it.

All state belongs to that thread (`compute_thread`); others send it tasks. All of llama.cpp's
computing happens there, one step at a time in the whole process (`process_state.computing`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ..engine.sizes import PAD
from ..errors import InferenceError, LoadError, OutOfMemoryError
from ..process.state import computing, forget_on_fork
from .compute_thread import ComputeThread
from .kv_streams import WORTH_RESTORING, KVStreams, Stream, common_prefix
from .turns import LOOKAHEAD, Counters, Member, Piece, Turns

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..engine import Adapter, Applied, Context, ContextOptions, KVState, Model

__all__ = ["Scheduler"]

logger = logging.getLogger("hivellm_lite")

PREFILL_BESIDE = 128
"""Prompt tokens computed in one step while others wait for their next token."""

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
        """``max_streams`` sequences are computed together at most, and ``kv_positions``
        positions of KV cache held for them; one sequence may always have ``options.n_ctx``.
        """
        self._model = model
        self._options = options
        self._max_streams = max_streams
        self.kv = KVStreams(self._make_context, options.n_ctx, parked_bytes=parked_bytes)
        self.n_ctx = self.kv.context.n_ctx
        # llama.cpp chooses LongRoPE's factors by the length of a stream; that of a session stays
        # on one side, whatever shape its cache takes.
        switch = model.long_rope_above
        self._least = PAD if switch is None or self.n_ctx <= switch else switch + 1
        self._budget = max(kv_positions, self.n_ctx)
        self.counters = Counters()
        self._waiting: list[Member] = []
        self._active: list[Member] = []
        self._computing: tuple[Member, ...] = ()
        self._prefilling = False
        self._turns = Turns()
        self._thread = ComputeThread(self, "the model of this request was closed")
        forget_on_fork(self, self._thread.stepping)

    # --- from any thread -------------------------------------------------------------

    def submit(self, members: Iterable[Member]) -> None:
        """Take requests in. Raises InferenceError after `close` and at the program's end."""
        taken = list(members)
        self._thread.submit(lambda: self._take_in(taken))

    def want_more(self) -> None:
        """The reader of a stream waits for text. Never waits."""
        self._thread.wake()

    def cancel(self, member: Member, reason: str = "cancelled") -> None:
        """End a request as soon as possible; ``deliver(None)`` says when. Never waits."""
        if member.cancelled is None and not member.decoding.finished:
            member.cancelled = reason
            members = self._computing
            # a step in which others get their next token is not worth throwing away
            if member in members and (self._prefilling or len(members) == 1):
                self.interrupt()
            self._thread.wake()

    def interrupt(self) -> None:
        """Make a step that runs return soon. What it computed is computed again."""
        self.kv.context.interrupt()

    def call(self, function: Callable[[], _T]) -> _T:
        """Run ``function`` on the scheduler's thread, between two steps."""
        return self._thread.call(function)

    def forget(self, adapter: Adapter) -> None:
        """End what uses an adapter, drop what was computed with it, and free it.

        Waits for that unless this is a thread that computes.
        """
        for member in (*self._active, *self._waiting):
            if any(one is adapter for one, _ in member.applied):
                self.cancel(member)
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
        asked = [*self._active, *self._waiting]
        self._active, self._waiting, self._computing = [], [], ()
        for stream in self.kv.streams:
            stream.busy = False
        for member in asked:
            # the thread that delivered is not there; a reader sees `ended`
            member.stream = None
            member.ended = threading.Event()
            member.decoding.fail(InferenceError("this answer was begun before the process forked"))
            member.ended.set()
        if self._model.on_cpu:
            self.kv.context.resume()
        else:
            self._model.disown()

    # --- on the scheduler's thread ---------------------------------------------------

    def has_work(self) -> bool:
        """Whether a request waits to be computed or ended."""
        members = (*self._active, *self._waiting)
        for member in members:
            member.look_at_reader()
        self._count()
        return any(m.hungry or m.cancelled for m in members)

    def step(self) -> None:
        """End what was cancelled, admit what fits, and compute one batch."""
        self._end_cancelled()
        self._admit()
        self._step()

    def fail_all(self, error: BaseException) -> None:
        """End every request: cancelled when the scheduler was closed, otherwise failed."""
        closed = self._thread.stopping
        for member in [*self._active, *self._waiting]:
            if closed:
                member.decoding.finish(member.cancelled or "cancelled")
            self._retire(member, None if closed else error)

    def _take_in(self, members: Iterable[Member]) -> None:
        for member in members:
            self._waiting.append(member)
            self.counters.requests += 1
            self.counters.prompt_tokens += len(member.decoding.request.prompt)
        self._count()

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
        (self._active if member in self._active else self._waiting).remove(member)
        counters = self.counters
        counters.finished += decoding.finish_reason in ("stop", "length")
        counters.failed += decoding.error is not None
        counters.cancelled += decoding.finish_reason in ("cancelled", "timeout")
        counters.cached_prompt_tokens += decoding.cached
        counters.generated_tokens += decoding.n_generated
        counters.forced_tokens += decoding.n_forced
        self._count()
        member.ended.set()
        member.deliver(None)

    # --- admission -------------------------------------------------------------------

    def _admit(self) -> None:
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
            stream = self.kv.acquire(member.applied, decoding.request.prompt, own=member.parked)
            member.parked = None
            if decoding.n_generated == 0:
                decoding.cached = len(stream.tokens)
            member.stream = stream
            self._waiting.remove(member)
            self._active.append(member)

    def _will_be_shared(self, member: Member) -> bool:
        """Whether another request is about to compute what this one can then copy."""
        prompt = member.decoding.request.prompt
        worth = self.kv.best_shared(member.applied, prompt) + WORTH_RESTORING
        return any(
            other.stream is not None
            and len(other.stream.tokens) < other.n_prompt
            and other.applied == member.applied
            and other.hungry
            and self._could_share(other, prompt) >= worth
            for other in self._active
        )

    def _could_share(self, other: Member, prompt: list[int]) -> int:
        same = common_prefix(other.decoding.request.prompt, prompt, len(prompt))
        return self._model.row_shape.n_reusable(same, len(prompt))

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
        longest = min(max(self._least, 1 << (longest - 1).bit_length()), self.n_ctx)
        n += len(self._active)
        if n > self._max_streams or (n > 1 and n * longest > self._budget):
            return None
        fitting = sum(member.decoding.length <= longest for member in hungry)
        wanted = min(self._max_streams, self._budget // longest, len(self._active) + fitting)
        return max(n, wanted), longest

    def _preempt(self, member: Member) -> None:
        """Take a request's stream; it gets another when its turn comes again."""
        assert member.stream is not None  # active requests have one  # noqa: S101
        member.parked = self.kv.park(member.stream)
        member.stream = None
        self.counters.preempted += 1
        self._active.remove(member)
        self._waiting.append(member)

    def _make_context(self, n_streams: int, n_ctx: int) -> Context:
        from dataclasses import replace

        from ..engine import Context

        return Context(self._model, replace(self._options, n_ctx=n_ctx), n_streams)

    # --- computing -------------------------------------------------------------------

    def _step(self) -> None:
        """Compute one batch: the next token of each hungry request of one expert."""
        hungry = [m for m in self._active if m.hungry and m.cancelled is None]
        if not hungry:
            return
        applied = self._turns.next(hungry)
        self.counters.swaps = self._turns.n_swaps
        members = [m for m in hungry if m.applied == applied]
        if len(members) > 1:
            self.kv.close_gaps(map(_stream_of, members))
        room = self._prompt_room(members)
        self._computing = tuple(members)
        pieces = []
        for member in sorted(members, key=_stream_index):
            piece = self._piece(member, room)
            if piece.is_prompt or (len(piece.tokens) > LOOKAHEAD and not self._model.on_cpu):
                room -= len(piece.tokens)
            if piece.tokens:
                pieces.append(piece)
        try:
            for together in _groups(pieces) if self._model.on_cpu else [pieces]:
                self._compute(applied, together)
        finally:
            self._computing = ()
            self.kv.context.resume()

    def _piece(self, member: Member, room: int) -> Piece:
        """What of a request is computed next, at most ``room`` tokens of a prompt."""
        stream, tokens = _stream_of(member), member.decoding.tokens
        n_ubatch, shape = self.kv.context.n_ubatch, self._model.row_shape
        place = len(stream.tokens)
        is_prompt = place < member.n_prompt
        if is_prompt:
            n = shape.n_next(place, member.n_prompt - place, min(room, n_ubatch))
        else:
            start, end = member.step_from(place)
            alone = self._model.on_cpu or end - place <= LOOKAHEAD
            n = shape.n_next(place - start, end - place, n_ubatch if alone else min(room, n_ubatch))
        is_last = place + n == len(tokens)
        return Piece(member, stream, tokens[place : place + n], is_prompt, is_last)

    def _compute(self, applied: Applied, pieces: Sequence[Piece]) -> None:
        """Decode pieces of several requests together and hand over what comes of it.

        If llama.cpp refuses them together, each is tried alone, so that one request fails
        and not all.
        """
        from ..engine import InterruptedDecodeError

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
        waiting = [len(_stream_of(m).tokens) >= m.n_prompt for m in members]
        self._prefilling = not all(waiting)
        n_batch = self.kv.context.n_batch
        return min(PREFILL_BESIDE, n_batch // 2) if any(waiting) else n_batch

    def _give(self, member: Member, logits: NDArray[np.float32]) -> None:
        """Hand a request its logits, and its reader the text that comes of them."""
        member.steps.append(len(member.decoding.tokens))
        try:
            shown = member.decoding.take(logits)
        except Exception as error:  # a defect ends this answer, not those beside it
            self._retire(member, error)
            return
        if shown:
            member.give(shown)
            member.look_at_reader()
        if member.decoding.finished:
            self._retire(member)

    # --- beside the requests, through `call` -----------------------------------------

    def borrow(self, applied: Applied, tokens: list[int], n_logits: int) -> tuple[Context, int]:
        """Compute ``tokens`` in some stream; the context then has the logits of the last
        ``n_logits``, and the index of the last of them is returned.
        """
        from ..engine import Row

        self._make_room(len(tokens), [], at_once=True)
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

    def adopt(self, applied: Applied, tokens: list[int], state: KVState) -> None:
        """Hold a saved state; see `KVStreams.adopt`."""
        if len(tokens) > self.n_ctx:
            raise LoadError(
                f"a saved state of {len(tokens)} tokens does not fit a context of {self.n_ctx}\n"
                f"Load the expert with n_ctx={len(tokens)} or more."
            )
        self._make_room(len(tokens), [], at_once=True)
        self.kv.adopt(applied, tokens, state)

    def _forget(self, adapter: Adapter) -> None:
        if self.kv.context.closed:  # the program ends, and all was freed
            return
        for member in [*self._active, *self._waiting]:
            if any(one is adapter for one, _ in member.applied):
                member.decoding.finish("cancelled")
                self._retire(member)
        self.kv.forget(adapter)
        self._turns.forget()
        adapter.close()


def _groups(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Next tokens of answers together, and each longer piece alone, as for a lone request.

    Those are of prompts, or forced by a grammar. A CPU computes a prompt no faster beside others,
    and other kernels take over where rows of several streams are mixed: their last bits differ,
    and with them an answer now and then.
    """
    single = [piece for piece in pieces if len(piece.tokens) == 1 and not piece.is_prompt]
    alone = [[piece] for piece in pieces if len(piece.tokens) > 1 or piece.is_prompt]
    return [single, *alone] if single else alone


def _stream_of(member: Member) -> Stream:
    assert member.stream is not None  # active requests have one  # noqa: S101
    return member.stream


def _stream_index(member: Member) -> int:
    return _stream_of(member).index

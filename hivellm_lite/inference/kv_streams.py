"""What the KV cache holds: the streams of one context, and states parked in host memory.

A stream may be continued only under the adapters and scales that computed it. Only prompts are
shared, since llama.cpp computes answers with other kernels. A request gets the stream, the parked
state or the copy of a busy stream that shares the longest prefix with its prompt. A prefix that
another expert is likely to need again is parked before it is overwritten. Parked states have a
limit; the least recently used one is dropped first.

Models with a sliding window drop positions outside the window. Their states are neither parked
nor copied, and are computed again.

Not thread-safe: one thread computes.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..errors import LoadError, OutOfMemoryError
from .parked import Parked, ParkedStates, common_prefix

if TYPE_CHECKING:
    from ..engine import Adapter, Applied, Context, KVState

__all__ = ["DEFAULT_PARKED_BYTES", "KVStreams", "Stream"]

logger = logging.getLogger("hivellm_lite")

DEFAULT_PARKED_BYTES = 256 << 20
"""Host memory for idle prefixes: about 2,300 positions of Qwen3-0.6B, 11,000 of SmolLM2-135M."""

WORTH_PARKING = 16
"""Fewer tokens than this are computed again, in a step that is needed anyway, as fast as copied."""

WORTH_RESTORING = 8
"""Copying a state pays from this many shared tokens on."""


@dataclass(eq=False)
class Stream:
    """One stream of the context: the tokens whose KV it holds, and under which adapters."""

    index: int
    applied: Applied = ()
    tokens: list[int] = field(default_factory=list)
    busy: bool = False
    last_used: int = 0
    n_prompt: int = 0
    """How many leading tokens belong to a prompt. The rest was computed row by row, with other
    kernels, and only the answer that it belongs to may continue it."""
    source: Parked | None = None
    """The parked state that filled the stream, if only its beginning was wanted: then only this
    restored prefix is likely to be reused."""


@dataclass
class KVCounters:
    """What happened so far. ``parked_bytes`` is the present size of all parked states."""

    restored: int = 0
    copied: int = 0
    parked: int = 0
    dropped: int = 0
    parked_bytes: int = 0


class KVStreams:
    """See the module's docstring."""

    def __init__(
        self,
        make_context: Callable[[int, int], Context],
        n_ctx: int,
        *,
        parked_bytes: int = DEFAULT_PARKED_BYTES,
    ) -> None:
        """``make_context(n_streams, n_ctx)`` makes the context; it is called again to resize."""
        self._make_context = make_context
        self._clock = itertools.count(1)
        self._counters = KVCounters()
        self._parked = ParkedStates(parked_bytes)
        self.context = make_context(1, n_ctx)
        self._can_copy = not self.context.model.sliding_window
        self._shape = self.context.model.row_shape
        self.streams = [Stream(0)]

    @property
    def counters(self) -> KVCounters:
        """What happened so far, and what is parked now."""
        parked = self._parked
        return replace(self._counters, dropped=parked.n_dropped, parked_bytes=parked.n_bytes)

    @property
    def parked(self) -> list[Parked]:
        """The states in host memory."""
        return list(self._parked)

    @property
    def n_free(self) -> int:
        return sum(not stream.busy for stream in self.streams)

    def acquire(
        self,
        applied: Applied,
        prompt: Sequence[int],
        n_fresh: int = 1,
        *,
        own: Parked | None = None,
    ) -> Stream:
        """A free stream for ``prompt``, which holds as much of it as is known and gives the
        same bits as computing it (`RowShape`).

        At least the last ``n_fresh`` tokens are left to compute, unless ``own``, what `park`
        returned for the same request, is still held: then the stream holds all of that. Free
        streams must exist. The stream is busy until `release`.
        """

        def shared(held: Stream | Parked) -> int:
            return self._shared(held, applied, prompt, n_fresh)

        free = [stream for stream in self.streams if not stream.busy]
        if own is not None and own in self._parked:
            stream = self._victim(free)
            self._park_before_losing(stream, 0)
            self._cut(stream, 0)
            self._fill(stream, own)
            return self._occupy(stream, applied, len(prompt))
        stream = max(free, key=shared)
        kept = shared(stream)
        elsewhere: list[Stream | Parked] = []
        if self._can_copy:
            elsewhere += [*self._parked, *self._busy()]
        source = max(elsewhere, key=shared, default=None)
        gain = shared(source) - kept if source is not None else 0
        if source is not None and gain >= WORTH_RESTORING:
            stream = self._victim(free)
            self._park_before_losing(stream, 0)
            self._fill(stream, source)
            kept += gain
            if isinstance(source, Parked) and kept < len(source.tokens):
                stream.source = source
        else:
            if kept < WORTH_RESTORING:
                stream = self._victim(free)
                kept = shared(stream)
            self._park_before_losing(stream, kept)
        self._cut(stream, kept)
        return self._occupy(stream, applied, len(prompt))

    def _occupy(self, stream: Stream, applied: Applied, n_prompt: int) -> Stream:
        stream.applied = applied
        stream.n_prompt = n_prompt
        stream.busy = True
        stream.last_used = next(self._clock)
        return stream

    def release(self, stream: Stream) -> None:
        """Give a stream back; the prompt that it holds stays until it is needed for another."""
        if not self.context.closed:  # the program ends, and all was freed
            self._cut(stream, stream.n_prompt)
        stream.busy = False
        stream.last_used = next(self._clock)

    def best_shared(self, applied: Applied, prompt: Sequence[int]) -> int:
        """How many leading tokens some stream or parked state holds now."""
        held: list[Stream | Parked] = [*self.streams, *self._parked]
        if not self._can_copy:
            held = [stream for stream in self.streams if not stream.busy]
        return max((self._shared(one, applied, prompt, 1) for one in held), default=0)

    def _shared(
        self, held: Stream | Parked, applied: Applied, prompt: Sequence[int], n_fresh: int
    ) -> int:
        if held.applied != applied:
            return 0
        same = common_prefix(held.tokens, prompt, min(held.n_prompt, len(prompt)))
        return self._shape.n_reusable(same, len(prompt), n_fresh)

    def resize(self, n_streams: int, n_ctx: int) -> None:
        """Make the context anew with another shape; busy streams keep what they hold, and
        become the first ones in their old order.

        Raises OutOfMemoryError, with the old shape in place again, if it does not fit.
        """
        before = (self.context.n_streams, self.context.n_ctx)
        held: list[tuple[Stream, KVState | None]] = []
        for stream in sorted(self.streams, key=lambda one: (not one.busy, one.index)):
            worth_it = self._can_copy and len(stream.tokens) >= (
                1 if stream.busy else WORTH_PARKING
            )
            if stream.busy or worth_it:
                held.append((stream, self.context.read_state(stream.index) if worth_it else None))
        self._require_memory(n_streams, n_ctx)
        self.context.close()
        try:
            self.context = self._make_context(n_streams, n_ctx)
        except OutOfMemoryError:
            n_streams, n_ctx = before
            self.context = self._make_context(n_streams, n_ctx)
            raise
        finally:
            self.streams = []
            if self.context.closed:  # not even the old shape: what was held is lost
                held = []
            for stream, state in held:
                if len(self.streams) < n_streams and len(stream.tokens) <= self.context.n_ctx:
                    stream.index = len(self.streams)
                    self.streams.append(stream)
                    if state is not None:
                        self.context.write_state(stream.index, state)
                    else:
                        stream.tokens = []
                elif state is not None:
                    self._park(stream, state)
            n_made = 0 if self.context.closed else n_streams
            self.streams += [Stream(index) for index in range(len(self.streams), n_made)]
        logger.debug("the KV cache has %d streams of %d positions", n_streams, n_ctx)

    def _require_memory(self, n_streams: int, n_ctx: int) -> None:
        context = self.context
        if not context.closed:
            freed = context.kv_bytes + context.buffer_bytes
            options = replace(context.options, n_ctx=n_ctx)
            context.require_memory(context.model, options, n_streams, freed=freed)

    def close_gaps(self, streams: Iterable[Stream]) -> None:
        """Move streams so that these stand side by side, where idle ones are between them.

        llama.cpp computes neighbouring streams in one pass, and other streams in a pass each.
        """
        wanted = sorted(streams, key=lambda one: one.index)
        while self._can_copy and wanted and wanted[-1].index - wanted[0].index >= len(wanted):
            inside = range(wanted[0].index, wanted[-1].index)
            gaps = [s for s in self.streams if s.index in inside and not s.busy]
            if not gaps:
                return
            target, moved = min(gaps, key=lambda one: one.index), wanted[-1]
            self._park_before_losing(target, 0)
            self.context.write_state(target.index, self.context.read_state(moved.index))
            self.context.truncate(moved.index, 0)
            target.tokens = []
            target.index, moved.index = moved.index, target.index
            self.streams.sort(key=lambda one: one.index)
            self._counters.copied += 1
            wanted.sort(key=lambda one: one.index)

    def park(self, stream: Stream) -> Parked | None:
        """Move a stream's content to host memory and give the stream back.

        Returns what `acquire` takes as ``own``; None if it was not worth it.
        """
        parked = self._park_before_losing(stream, 0)
        self._cut(stream, 0)
        stream.busy = False
        return parked

    def latest(self, applied: Applied) -> tuple[list[int], KVState] | None:
        """What was used last under these adapters, and its tokens; None if nothing is held.

        Nothing is, for this purpose, of a model with a sliding window.
        """
        held: list[Stream | Parked] = [s for s in self.streams if 0 < len(s.tokens) <= s.n_prompt]
        parked = [one for one in self._parked if len(one.tokens) == one.n_prompt]
        held = [one for one in [*held, *parked] if one.applied == applied]
        if not held or not self._can_copy:
            return None
        last = max(held, key=lambda one: one.last_used)
        if isinstance(last, Parked):
            return list(last.tokens), last.state
        return list(last.tokens), self.context.read_state(last.index)

    def adopt(self, applied: Applied, tokens: Sequence[int], state: KVState) -> None:
        """Hold a state that was saved earlier, as if it had been parked here. A stream must
        be free.

        Raises InferenceError if llama.cpp refuses it, LoadError if it is damaged or cannot be
        held.
        """
        state.check(len(tokens))
        if state.nbytes > self._parked.limit or not self._can_copy:
            raise LoadError(
                f"a saved state of {state.nbytes / 1e6:.0f} MB cannot be held: "
                f"{self._parked.limit / 1e6:.0f} MB may be parked\n"
                "Load the expert with a larger parked_bytes."
            )
        stream = self._victim([stream for stream in self.streams if not stream.busy])
        self._park_before_losing(stream, 0)
        self._cut(stream, 0)
        self.context.write_state(stream.index, state)
        n_positions = self.context.n_positions(stream.index)
        if n_positions != len(tokens):
            self.context.truncate(stream.index, 0)
            raise LoadError(
                f"a saved state of {len(tokens)} tokens has {n_positions} positions; it is damaged"
            )
        stream.applied, stream.tokens, stream.n_prompt = applied, list(tokens), len(tokens)
        stream.last_used = next(self._clock)
        self._parked.add(Parked(applied, tuple(tokens), len(tokens), state, next(self._clock)))

    def forget(self, adapter: Adapter) -> None:
        """Drop all that was computed with an adapter. None of it may be busy."""
        for stream in self.streams:
            if any(one is adapter for one, _ in stream.applied):
                self._cut(stream, 0)
                stream.applied = ()
        self._parked.forget(adapter)

    def _busy(self) -> list[Stream]:
        return [stream for stream in self.streams if stream.busy]

    def _victim(self, free: Sequence[Stream]) -> Stream:
        """The free stream whose content is missed least; among empty ones the first."""
        return min(free, key=lambda one: (bool(one.tokens), one.last_used if one.tokens else 0))

    def _fill(self, stream: Stream, source: Stream | Parked) -> None:
        if isinstance(source, Stream):
            self.context.write_state(stream.index, self.context.read_state(source.index))
            self._counters.copied += 1
        else:
            self.context.write_state(stream.index, source.state)
            source.last_used = next(self._clock)
            self._counters.restored += 1
        stream.tokens = list(source.tokens)
        stream.n_prompt = source.n_prompt
        stream.source = None

    def _cut(self, stream: Stream, n_keep: int) -> None:
        if n_keep < len(stream.tokens):
            self.context.truncate(stream.index, n_keep)
            del stream.tokens[n_keep:]

    def _park_before_losing(self, stream: Stream, kept: int) -> Parked | None:
        """Park a content of which more would be lost than kept, unless a parked state has it."""
        lost = len(stream.tokens) - kept
        if not self._can_copy or self._parked.limit == 0 or lost < max(WORTH_PARKING, kept):
            return None
        for parked in self._parked:
            if parked.applied == stream.applied:
                held = common_prefix(parked.tokens, stream.tokens, parked.n_prompt)
                if len(stream.tokens) - held < WORTH_PARKING or parked is stream.source:
                    parked.last_used = next(self._clock)
                    return None
        try:
            return self._park(stream, self.context.read_state(stream.index))
        except OutOfMemoryError as error:
            logger.warning("%s; it is computed again when it is wanted", error)
            return None

    def _park(self, stream: Stream, state: KVState) -> Parked:
        self._counters.parked += 1
        tokens, n_prompt = tuple(stream.tokens), min(stream.n_prompt, len(stream.tokens))
        parked = Parked(stream.applied, tokens, n_prompt, state, next(self._clock))
        self._parked.add(parked)
        return parked

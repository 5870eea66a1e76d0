"""What the KV cache holds: the streams of one context, and states parked in host memory.

A stream may be continued only under the adapters and scales that computed it. Only prompts are
shared, since llama.cpp computes answers with other kernels. A request gets the stream, the parked
state or the copy of a busy stream that shares the longest prefix with its prompt. A prefix that
another expert is likely to need again is parked before it is overwritten. Parked states have a
limit; the least recently used one is dropped first.

Models with a sliding window drop positions outside the window. Their states are neither parked
nor copied, and are computed again. Recurrent layers, which hybrid models have, remember no
positions, so that nothing of a sequence can be shared: every prompt is computed from its beginning.

Not thread-safe: one thread computes.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..engine.virtual_tokens import n_virtual
from ..errors import LoadError, OutOfMemoryError
from .applied import uses
from .context_streams import ContextStreams, Stream
from .parked import Parked, ParkedStates, common_prefix

if TYPE_CHECKING:
    from ..engine import Adapter, Applied, Context, KVState

__all__ = ["KVCounters", "KVStreams"]

logger = logging.getLogger("hivellm_lite")

WORTH_PARKING = 16
"""Fewer tokens than this are computed again, in a step that is needed anyway, as fast as copied."""

WORTH_RESTORING = 8
"""Copying a state pays from this many shared tokens on."""


@dataclass
class KVCounters:
    """What happened so far. ``parked_bytes`` is the present size of all parked states."""

    restored: int = 0
    copied: int = 0
    parked: int = 0
    dropped: int = 0
    parked_bytes: int = 0


_clock = itertools.count(1)
"""Orders uses of streams and parked states, also of several contexts."""


class KVStreams:
    """See the module's docstring."""

    def __init__(
        self,
        make_context: Callable[[int, int], Context],
        n_streams: int,
        n_ctx: int,
        *,
        parked: ParkedStates,
        settle: Callable[[], None] = lambda: None,
    ) -> None:
        """``make_context(n_streams, n_ctx)`` makes the context; it is called again to resize.

        ``parked`` may be shared by several contexts of one model, if one thread computes with all.
        ``settle`` is called before a context is freed, to read what was computed with it.
        """
        self._streams = ContextStreams(make_context, n_streams, n_ctx)
        self._settle = settle
        self._clock = _clock
        self._counters = KVCounters()
        self._parked = parked
        self.can_copy = self._streams.can_copy
        """Whether what a stream holds can be moved."""
        self._is_spoiled = False
        self._shape = self.context.model.row_shape

    @property
    def context(self) -> Context:
        """The context of now; `resize` makes another."""
        return self._streams.context

    @property
    def streams(self) -> list[Stream]:
        """The streams of the context, in the order of their indices."""
        return self._streams.all

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
        return len(self._streams.free)

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

        free = self._streams.free
        if own is not None and own in self._parked:
            stream = self._victim(free)
            self._park_before_losing(stream, 0)
            self._streams.cut(stream, 0)
            self._fill(stream, own)
            return self._occupy(stream, applied, len(prompt))
        stream = max(free, key=shared)
        kept = shared(stream)
        elsewhere: list[Stream | Parked] = []
        if self.can_copy:
            elsewhere += [*self._fitting_parked(), *self._streams.busy]
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
        self._streams.cut(stream, kept)
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
            self._streams.cut(stream, stream.n_prompt)
        stream.busy = False
        stream.last_used = next(self._clock)

    def best_shared(self, applied: Applied, prompt: Sequence[int]) -> int:
        """How many leading tokens some stream or parked state holds now."""
        held: list[Stream | Parked] = [*self.streams, *self._fitting_parked()]
        if not self.can_copy:
            held = [*self._streams.free]
        return max((self._shared(one, applied, prompt, 1) for one in held), default=0)

    def _fitting_parked(self) -> list[Parked]:
        """The parked states that a stream of the present shape can hold."""
        n_ctx = self.context.n_ctx
        return [parked for parked in self._parked if len(parked.tokens) <= n_ctx]

    def _shared(
        self, held: Stream | Parked, applied: Applied, prompt: Sequence[int], n_fresh: int
    ) -> int:
        if held.applied != applied or not self._streams.cuts_back:
            return 0
        same = common_prefix(held.tokens, prompt, min(held.n_prompt, len(prompt)))
        return self._shape.n_reusable(same, len(prompt), n_fresh, n_virtual=n_virtual(prompt))

    def resize(self, n_streams: int, n_ctx: int) -> None:
        """Make the context anew with another shape; see `ContextStreams.resize`.

        What idle streams lose is parked.
        """
        self._settle()
        self._is_spoiled = False
        self._streams.resize(n_streams, n_ctx, keep_from=WORTH_PARKING, lose=self._park)

    def park_idle(self, applied: Applied) -> None:
        """Move what free streams hold under these adapters to host memory."""
        for stream in self._streams.free:
            if stream.applied == applied:
                self.park(stream)

    def distrust(self, stream: Stream) -> None:
        """Drop the content of a stream that has NaN.

        llama.cpp multiplies what it masks by zero, and NaN stays NaN: positions that were cut off
        spoil every later request of the stream. So the context must be made anew before the
        stream is used again, by `clean`.
        """
        self._streams.cut(stream, 0)
        self._is_spoiled = True

    def clean(self) -> None:
        """Make a spoiled context anew; busy streams keep what they hold."""
        if self._is_spoiled:
            self.resize(self.context.n_streams, self.context.n_ctx)

    def close_gaps(self, streams: Iterable[Stream]) -> None:
        """Move streams so that these, which have the same adapters, stand side by side.

        llama.cpp computes neighbouring streams in one pass, and other streams in a pass each.
        """
        wanted = sorted(streams, key=lambda one: one.index)
        while self.can_copy and wanted and wanted[-1].index - wanted[0].index >= len(wanted):
            inside = range(wanted[0].index, wanted[-1].index)
            gaps = [s for s in self.streams if s.index in inside and not s.busy]
            if not gaps:
                if self.context.model.on_cpu:  # elsewhere a copy costs more than a pass
                    self._group()
                return
            target, moved = min(gaps, key=lambda one: one.index), wanted[-1]
            self._park_before_losing(target, 0)
            self._streams.move(moved, target)
            self._counters.copied += 1
            wanted.sort(key=lambda one: one.index)

    def _group(self) -> None:
        """Exchange streams until all busy ones with the same adapters stand side by side."""
        groups: dict[Applied, list[Stream]] = {}
        for stream in self._streams.busy:
            groups.setdefault(stream.applied, []).append(stream)
        start = 0
        for group in sorted(groups.values(), key=_mean_index):
            place = range(start, start + len(group))
            others = [one for one in self.streams if one.index in place and one not in group]
            outside = [one for one in group if one.index not in place]
            for one, other in zip(outside, others, strict=True):
                self._streams.swap(one, other)
                self._counters.copied += 1
            start = place.stop

    def park(self, stream: Stream) -> Parked | None:
        """Move a stream's content to host memory and give the stream back.

        Returns what `acquire` takes as ``own``; None if it was not worth it.
        """
        parked = self._park_before_losing(stream, 0)
        self._streams.cut(stream, 0)
        stream.busy = False
        return parked

    def latest(
        self, applied: Applied, prefix: Sequence[int] = ()
    ) -> tuple[list[int], KVState] | None:
        """What was used last under these adapters, and its tokens; None if nothing is held.

        ``prefix``: the virtual tokens that it begins with. Nothing is held, for this purpose, of a
        model with a sliding window.
        """
        held: list[Stream | Parked] = [s for s in self.streams if 0 < len(s.tokens) <= s.n_prompt]
        parked = [one for one in self._parked if len(one.tokens) == one.n_prompt]
        held = [
            one
            for one in [*held, *parked]
            if one.applied == applied
            and n_virtual(one.tokens) == len(prefix) < len(one.tokens)
            and tuple(one.tokens[: len(prefix)]) == tuple(prefix)
        ]
        if not held or not self.can_copy:
            return None
        last = max(held, key=lambda one: one.last_used)
        if isinstance(last, Parked):
            return list(last.tokens), last.state
        return list(last.tokens), self._streams.read(last)

    def adopt(self, applied: Applied, tokens: Sequence[int], state: KVState) -> None:
        """Hold a state that was saved earlier, as if it had been parked here. A stream must
        be free.

        Raises InferenceError if llama.cpp refuses it, LoadError if it is damaged or cannot be
        held.
        """
        state.check(len(tokens))
        if state.nbytes > self._parked.limit or not self.can_copy:
            raise LoadError(
                f"a saved state of {state.nbytes / 1e6:.0f} MB cannot be held: "
                f"{self._parked.limit / 1e6:.0f} MB may be parked\n"
                "Load the expert with a larger parked_bytes."
            )
        stream = self._victim(self._streams.free)
        self._park_before_losing(stream, 0)
        self._streams.cut(stream, 0)
        self._streams.write(stream, state)
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
            if uses(stream.applied, adapter):
                self._streams.cut(stream, 0)
                stream.applied = ()
        self._parked.forget(adapter)

    def _victim(self, free: Sequence[Stream]) -> Stream:
        """The free stream whose content is missed least; among empty ones the first."""
        return min(free, key=lambda one: (bool(one.tokens), one.last_used if one.tokens else 0))

    def _fill(self, stream: Stream, source: Stream | Parked) -> None:
        if isinstance(source, Stream):
            self._streams.write(stream, self._streams.read(source))
            self._counters.copied += 1
        else:
            self._streams.write(stream, source.state)
            source.last_used = next(self._clock)
            self._counters.restored += 1
        stream.tokens = list(source.tokens)
        stream.n_prompt = source.n_prompt
        stream.source = None

    def _park_before_losing(self, stream: Stream, kept: int) -> Parked | None:
        """Park a stream that would lose more than it keeps, unless a parked state has the same."""
        lost = len(stream.tokens) - kept
        if not self.can_copy or self._parked.limit == 0 or lost < max(WORTH_PARKING, kept):
            return None
        for parked in self._parked:
            if parked.applied == stream.applied:
                held = common_prefix(parked.tokens, stream.tokens, parked.n_prompt)
                if len(stream.tokens) - held < WORTH_PARKING or parked is stream.source:
                    parked.last_used = next(self._clock)
                    return None
        try:
            return self._park(stream, self._streams.read(stream))
        except OutOfMemoryError as error:
            logger.warning("%s; it is computed again when it is wanted", error)
            return None

    def _park(self, stream: Stream, state: KVState) -> Parked:
        self._counters.parked += 1
        tokens, n_prompt = tuple(stream.tokens), min(stream.n_prompt, len(stream.tokens))
        parked = Parked(stream.applied, tokens, n_prompt, state, next(self._clock))
        self._parked.add(parked)
        return parked


def _mean_index(streams: Sequence[Stream]) -> float:
    return sum(one.index for one in streams) / len(streams)

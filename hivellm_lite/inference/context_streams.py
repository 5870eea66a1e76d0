"""The streams of one context: what each of them holds, and how it is cut, filled and moved.

This module does not know what is worth keeping; `KVStreams` decides that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..errors import OutOfMemoryError
from .parked import Parked

if TYPE_CHECKING:
    from ..engine import Applied, Context, KVState

__all__ = ["ContextStreams", "Stream"]

logger = logging.getLogger("hivellm_lite")


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


class ContextStreams:
    """The streams in the order of their indices. A larger context takes the place of a smaller."""

    def __init__(
        self, make_context: Callable[[int, int], Context], n_streams: int, n_ctx: int
    ) -> None:
        """``make_context(n_streams, n_ctx)`` makes the context; it is called again to resize."""
        self._make_context = make_context
        self.context = make_context(n_streams, n_ctx)
        model = self.context.model
        self.cuts_back = model.cuts_back
        """Whether a stream can keep its beginning. If not, it holds all or nothing."""
        self.can_copy = model.cuts_back and not model.sliding_window
        """Whether a stream's content can be read and written."""
        self.all = [Stream(index) for index in range(n_streams)]

    def __iter__(self) -> Iterator[Stream]:
        return iter(self.all)

    @property
    def free(self) -> list[Stream]:
        """The streams that no request uses."""
        return [stream for stream in self.all if not stream.busy]

    @property
    def busy(self) -> list[Stream]:
        """The streams that requests use."""
        return [stream for stream in self.all if stream.busy]

    def read(self, stream: Stream) -> KVState:
        """A copy of a stream's content. Raises OutOfMemoryError if memory does not hold it."""
        return self.context.read_state(stream.index)

    def write(self, stream: Stream, state: KVState) -> None:
        """Replace a stream's content; the caller sets its ``tokens``."""
        self.context.write_state(stream.index, state)

    def cut(self, stream: Stream, n_keep: int) -> None:
        """Keep the first ``n_keep`` tokens of a stream, or none if the model cannot cut."""
        if n_keep < len(stream.tokens):
            n_keep = n_keep if self.cuts_back else 0
            self.context.truncate(stream.index, n_keep)
            del stream.tokens[n_keep:]

    def move(self, stream: Stream, target: Stream) -> None:
        """Give a stream the index of ``target``, whose content is lost."""
        self.write(target, self.read(stream))
        self.context.truncate(stream.index, 0)
        target.tokens = []
        target.index, stream.index = stream.index, target.index
        self.all.sort(key=lambda one: one.index)

    def swap(self, one: Stream, other: Stream) -> None:
        """Exchange the indices of two streams, which keep what they hold."""
        states = [(stream, self.read(stream) if stream.tokens else None) for stream in (one, other)]
        one.index, other.index = other.index, one.index
        for stream, state in states:
            if state is None:
                self.context.truncate(stream.index, 0)
            else:
                self.write(stream, state)
        self.all.sort(key=lambda each: each.index)

    def resize(
        self,
        n_streams: int,
        n_ctx: int,
        *,
        keep_from: int,
        lose: Callable[[Stream, KVState], object],
    ) -> None:
        """Make the context anew with another shape.

        Busy streams keep what they hold, and become the first ones in their old order. Free
        streams of at least ``keep_from`` tokens follow as far as they fit; ``lose`` gets the
        content of the others. Raises OutOfMemoryError, with the old shape in place again, if the
        new shape does not fit.
        """
        before = (self.context.n_streams, self.context.n_ctx)
        held: list[tuple[Stream, KVState | None]] = []
        for stream in [*self.busy, *self.free]:
            is_kept = self.can_copy and len(stream.tokens) >= (1 if stream.busy else keep_from)
            if stream.busy or is_kept:
                held.append((stream, self.read(stream) if is_kept else None))
        self._require_memory(n_streams, n_ctx)
        self.context.close()
        try:
            self.context = self._make_context(n_streams, n_ctx)
        except OutOfMemoryError:
            n_streams, n_ctx = before
            self.context = self._make_context(n_streams, n_ctx)
            raise
        finally:
            self.all = []
            if self.context.closed:  # not even the old shape: what was held is lost
                held = []
            for stream, state in held:
                if len(self.all) < n_streams and len(stream.tokens) <= self.context.n_ctx:
                    stream.index = len(self.all)
                    self.all.append(stream)
                    if state is not None:
                        self.write(stream, state)
                    else:
                        stream.tokens = []
                elif state is not None:
                    lose(stream, state)
            n_made = 0 if self.context.closed else n_streams
            self.all += [Stream(index) for index in range(len(self.all), n_made)]
        logger.debug("the KV cache has %d streams of %d positions", n_streams, n_ctx)

    def _require_memory(self, n_streams: int, n_ctx: int) -> None:
        context = self.context
        if not context.closed:
            freed = context.kv_bytes + context.buffer_bytes
            options = replace(context.options, n_ctx=n_ctx)
            context.require_memory(context.model, options, n_streams, freed=freed)

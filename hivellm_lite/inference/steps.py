"""What one step computes: the next tokens of each request whose turn it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..engine.row_shapes import RowShape
from ..engine.rows import Row
from ..engine.virtual_tokens import n_virtual
from .context_streams import Stream
from .scheduled import LOOKAHEAD, ScheduledRequest

__all__ = ["Piece", "Steps", "is_prefilling", "stream_of"]

PREFILL_BESIDE = 128
"""Prompt tokens computed in one step while others wait for their next token."""


@dataclass(frozen=True)
class Piece:
    """The tokens of a request that one step computes; ``is_last`` if their logits are wanted."""

    request: ScheduledRequest
    stream: Stream
    tokens: list[int]
    is_prompt: bool
    is_last: bool

    @property
    def is_virtual(self) -> bool:
        """Whether the tokens are virtual, which are never computed beside ordinary ones."""
        return self.tokens[0] < 0

    def row(self) -> Row:
        """The same for the engine."""
        position = len(self.stream.tokens)
        return Row(self.stream.index, position, self.tokens, n_logits=int(self.is_last))


@dataclass(frozen=True)
class Steps:
    """Cuts the work of requests into steps that give the same bits however it is cut.

    ``n_batch``: tokens of one call of llama.cpp; ``n_ubatch``: tokens of one pass of it.
    """

    shape: RowShape
    n_batch: int
    n_ubatch: int
    on_cpu: bool

    def next(self, requests: Sequence[ScheduledRequest]) -> list[list[Piece]]:
        """The next step of requests that use the same adapters: groups that are computed one
        after the other, each together.
        """
        room = self._prompt_room(requests)
        pieces = []
        for request in sorted(requests, key=lambda one: stream_of(one).index):
            piece = self._piece(request, room)
            if piece.is_prompt or (len(piece.tokens) > LOOKAHEAD and not self.on_cpu):
                room -= len(piece.tokens)
            if piece.tokens:
                pieces.append(piece)
        if self.on_cpu:
            return _groups(pieces)
        kinds = ([one for one in pieces if one.is_virtual is kind] for kind in (False, True))
        return [kind for kind in kinds if kind]

    def _piece(self, request: ScheduledRequest, room: int) -> Piece:
        """The next tokens of a request, at most ``room`` of them in a prompt."""
        stream, tokens = stream_of(request), request.decoding.tokens
        place = len(stream.tokens)
        is_prompt = place < request.n_prompt
        if is_prompt:
            n_left, room = request.n_prompt - place, min(room, self.n_ubatch)
            n = self.shape.n_next(place, n_left, room, n_virtual=n_virtual(tokens))
        else:
            start, end = request.step_from(place)
            alone = self.on_cpu or end - place <= LOOKAHEAD
            n_most = self.n_ubatch if alone else min(room, self.n_ubatch)
            n = self.shape.n_next(place - start, end - place, n_most)
        is_last = place + n == len(tokens)
        return Piece(request, stream, tokens[place : place + n], is_prompt, is_last)

    def _prompt_room(self, requests: Sequence[ScheduledRequest]) -> int:
        """Prompt tokens that this step may compute."""
        if any(not _in_prompt(request) for request in requests):
            return min(PREFILL_BESIDE, self.n_batch // 2)
        return self.n_batch


def is_prefilling(requests: Sequence[ScheduledRequest]) -> bool:
    """Whether some request's prompt is not yet computed."""
    return any(_in_prompt(request) for request in requests)


def _in_prompt(request: ScheduledRequest) -> bool:
    """Whether the request's prompt is not yet computed."""
    return len(stream_of(request).tokens) < request.n_prompt


def stream_of(request: ScheduledRequest) -> Stream:
    """The stream of an active request."""
    assert request.stream is not None  # active requests have one  # noqa: S101
    return request.stream


def _groups(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Next tokens of answers together, and each longer piece alone, as for a lone request.

    Longer pieces belong to prompts, or a grammar forced them. A CPU computes a prompt no faster
    beside others. Where rows of several streams are mixed, llama.cpp uses other kernels, whose
    last bits differ, and so does an answer now and then.
    """
    single = [piece for piece in pieces if len(piece.tokens) == 1 and not piece.is_prompt]
    alone = [[piece] for piece in pieces if len(piece.tokens) > 1 or piece.is_prompt]
    return [single, *alone] if single else alone

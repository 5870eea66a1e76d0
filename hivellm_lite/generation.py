"""Answers as callers see them: a stream, a list, an awaitable.

The computing is the scheduler's; here a caller's thread waits for it, and can be
interrupted while it waits.
"""

from __future__ import annotations

import contextlib
import queue
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .decoding import Decoding, Request
from .errors import ContextLengthError
from .members import Member
from .results import InferenceResult, TokenScore
from .scheduler import LOOKAHEAD
from .session import Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .engine import Context
    from .engine.context import Applied

__all__ = [
    "Request",
    "TextStream",
    "check_length",
    "generate_tokens",
    "log_probabilities",
    "run_batch",
    "score_tokens",
]

SCORED_TOGETHER = 64
"""Positions whose logits are asked for at once: a context keeps this many rows."""

POLL = 0.25
"""Seconds after which a waiting thread looks at its signals (Windows has no other way)."""


class TextStream(Generator[str, None, InferenceResult]):
    """Pieces of an answer's text while it is generated.

    Iterate it; `result` is there afterwards, also when it was closed early::

        with expert.generate_stream("…") as stream:
            for piece in stream:
                print(piece, end="")
        print(stream.result.finish_reason)

    The result is also the generator's return value (``yield from``). Closing
    stops the decoding within a step; the expert stays usable. Nothing is computed
    before the first piece is asked for, so a stream closed before that has no
    result. A few tokens are computed ahead of the reader.
    """

    def __init__(
        self,
        session: Session,
        request: Request,
        *,
        ahead: bool = False,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        """``ahead``: compute to the end, whether or not the pieces are taken. ``on_end`` is
        called once, when the stream ended, was closed or is collected.
        """
        self.result: InferenceResult | None = None
        self._end = weakref.finalize(self, on_end)
        self._end.atexit = False
        self._pieces = self._generate(session, request, None if ahead else LOOKAHEAD)

    def send(self, value: None, /) -> str:
        return self._pieces.send(value)

    def throw(self, typ, val=None, tb=None, /):  # type: ignore[no-untyped-def]
        return self._pieces.throw(typ, val, tb) if val or tb else self._pieces.throw(typ)

    def close(self) -> None:
        """Stop generating. `result` then has ``finish_reason="cancelled"``."""
        self._pieces.close()
        self._end()

    def run(self) -> InferenceResult:
        """Take all pieces that are left; returns the result."""
        for _ in self:
            pass
        assert self.result is not None  # noqa: S101 - an exhausted stream has a result
        return self.result

    def __enter__(self) -> TextStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _generate(
        self, session: Session, request: Request, credit: int | None
    ) -> Generator[str, None, InferenceResult]:
        delivered: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        decoding = Decoding(request, session.model, session.n_ctx)
        member = Member(decoding, delivered.put, credit)
        scheduler = session.scheduler
        deadline = time.monotonic() + request.timeout if request.timeout is not None else None
        taken: list[str] = []
        ended = False
        scheduler.submit([member])
        try:
            while True:
                if credit is not None and delivered.empty():
                    scheduler.grant(member)
                piece = _take(delivered, deadline, lambda: scheduler.cancel(member, "timeout"))
                if piece is None:
                    ended = True
                    break
                taken.append(piece)
                yield piece
        finally:
            if not ended:  # closed, or an exception such as Ctrl-C
                scheduler.cancel(member)
                while delivered.get() is not None:
                    pass
            self.result = decoding.result()
            if not ended:  # what was computed ahead was not seen
                text = "".join(taken)
                self.result = replace(self.result, text=text, finish_reason="cancelled")
            self._end()
        if decoding.error is not None:
            raise decoding.error
        return self.result


def _take(
    delivered: queue.SimpleQueue[str | None],
    deadline: float | None,
    on_timeout: Callable[[], None],
) -> str | None:
    """The next piece; ``on_timeout`` is called once when the time is over."""
    late = False
    while True:
        wait = POLL
        if deadline is not None and not late:
            wait = min(POLL, deadline - time.monotonic())
            if wait <= 0:
                late, wait = True, POLL
                on_timeout()
        try:
            return delivered.get(timeout=wait)
        except queue.Empty:
            continue


def run_batch(
    session: Session, requests: Sequence[Request | Exception]
) -> list[InferenceResult | Exception]:
    """Answer all requests together; each answer, or what went wrong with it, in order.

    An exception among the requests stands for itself.
    """
    return in_order(requests, _run_together(session, answerable(requests)))


def answerable(requests: Sequence[Request | Exception]) -> list[Request]:
    """The requests among what may be the errors of prompts that cannot be asked."""
    return [request for request in requests if isinstance(request, Request)]


def in_order(
    requests: Sequence[Request | Exception], decodings: Sequence[Decoding]
) -> list[InferenceResult | Exception]:
    """The outcomes of the `answerable` ones at their places, errors at theirs."""
    outcomes = map(_outcome, decodings)
    return [next(outcomes) if isinstance(one, Request) else one for one in requests]


def generate_tokens(session: Session, request: Request) -> list[int]:
    """The token ids of an answer, the end token included."""
    (decoding,) = _run_together(session, [request])
    if decoding.error is not None:
        raise decoding.error
    return decoding.tokens[len(request.prompt) :]


def _run_together(session: Session, requests: Sequence[Request]) -> list[Decoding]:
    """Compute all requests to their ends, their time-outs or an exception such as Ctrl-C."""
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def deliver(piece: str | None) -> None:
        if piece is None:
            ended.put(None)

    members = [Member(Decoding(r, session.model, session.n_ctx), deliver) for r in requests]
    now = time.monotonic()
    deadlines = {
        member: now + member.decoding.request.timeout
        for member in members
        if member.decoding.request.timeout is not None
    }
    session.scheduler.submit(members)
    n_left = len(members)
    try:
        while n_left:
            now = time.monotonic()
            for member in [member for member, deadline in deadlines.items() if deadline <= now]:
                del deadlines[member]
                session.scheduler.cancel(member, "timeout")
            with contextlib.suppress(queue.Empty):
                ended.get(timeout=min([POLL, *(one - now for one in deadlines.values())]))
                n_left -= 1
    finally:
        for member in members:
            session.scheduler.cancel(member)
    return [member.decoding for member in members]


def _outcome(decoding: Decoding) -> InferenceResult | Exception:
    """The result of an answer that has ended, or what it failed with."""
    if isinstance(decoding.error, Exception):
        return decoding.error
    return decoding.result()


def check_length(session: Session, n_prompt: int, n_completion: int = 1) -> None:
    """Raise ContextLengthError if prompt and completion cannot stand in the context."""
    n_ctx, trained = session.n_ctx, session.model.n_ctx_train
    needed = n_prompt + n_completion
    if needed <= n_ctx:
        return
    rounded = min(-(-needed // 1024) * 1024, trained)
    advice = f"Load with n_ctx={rounded} (--n-ctx {rounded})" if needed <= trained else "Shorten it"
    raise ContextLengthError(
        f"the prompt has {n_prompt} tokens, which leaves no room for {n_completion} more "
        f"in a context of {n_ctx}\n{advice}; this model was trained on {trained} positions."
    )


def score_tokens(
    session: Session, prompt: list[int], completion: list[int], applied: Applied
) -> list[TokenScore]:
    """Log-probability of each completion token after the prompt and those before it."""
    scores: list[TokenScore] = []
    model = session.model
    for rows in log_probabilities(session, prompt, completion, applied):
        for row, token in zip(rows, completion[len(scores) :], strict=False):
            top = int(row.argmax())
            scores.append(
                TokenScore(
                    token=token,
                    text=model.piece(token, special=True).decode("utf-8", "replace"),
                    logprob=float(row[token]),
                    top_token=top,
                    top_logprob=float(row[top]),
                )
            )
    return scores


def log_probabilities(
    session: Session, prompt: list[int], completion: list[int], applied: Applied
) -> Iterator[NDArray[np.float64]]:
    """Natural logarithms (tokens, vocabulary) behind every completion token, in blocks."""
    tokens = prompt + completion
    place = len(prompt)
    while place < len(tokens):
        # token k is judged by the logits behind token k - 1
        n = min(SCORED_TOGETHER, len(tokens) - place)

        def read(context: Context, end: int, n: int = n) -> NDArray[np.float64]:
            found = [context.logits(i) for i in range(end - n + 1, end + 1)]
            return np.stack(found).astype(np.float64)

        rows = session.compute(tokens[: place + n - 1], applied, n, read)
        rows -= rows.max(axis=1, keepdims=True)
        rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
        yield rows
        place += n

"""Answers as callers see them: a stream, a list, an awaitable.

The computing is the scheduler's; here a caller's thread waits for it, and can be
interrupted while it waits.
"""

from __future__ import annotations

import contextlib
import queue
import weakref
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn, SupportsIndex

import numpy as np

from ..errors import ContextLengthError, InferenceError
from ..process.state import no_copy, on_computing_thread
from .decoding import Request
from .results import InferenceResult, TokenScore
from .submissions import Hold, Submission, answerable, in_order, submit
from .turns import LOOKAHEAD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..engine import Applied, Context
    from .session import Session

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

STEP = 10.0
"""Seconds that closing waits for the step that runs, far more than one takes."""


class TextStream(Generator[str, None, InferenceResult]):
    """Pieces of an answer's text while it is generated.

    Iterate it; `result` is there afterwards, also when it was closed early::

        with expert.generate_stream("…") as stream:
            for piece in stream:
                print(piece, end="")
        print(stream.result.finish_reason)

    The result is also the generator's return value (``yield from``). Closing, from any thread,
    stops the decoding within a step; the expert stays usable. A stream that is dropped is
    cancelled. Nothing is computed before the first piece is asked for, so a stream closed before
    that has no result. A few pieces are computed ahead of the reader.
    """

    def __init__(
        self,
        session: Session,
        request: Request,
        *,
        ahead: bool = False,
        hold: Hold | None = None,
    ) -> None:
        """``ahead``: compute to the end, whether or not the pieces are taken. ``hold`` is
        released when the stream ends or is closed, and dropped when it is collected.
        """
        self.result: InferenceResult | None = None
        self._taken: list[str] = []
        self._delivered: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._session = session
        self._request = request
        self._ahead = None if ahead else LOOKAHEAD
        self._underway = _Underway(hold)
        # alive until the stream ends, is closed or is collected, whichever comes first
        self._open = weakref.finalize(self, self._underway.drop)
        self._open.atexit = False

    def send(self, value: None, /) -> str:  # noqa: ARG002 - a generator's signature
        if not self._open.alive:
            raise StopIteration
        submission = self._underway.submission or self._begin()
        try:
            piece = self._take(submission)
        except BaseException:  # such as Ctrl-C
            self.close()
            raise
        if piece is None:
            self._end(submission)
        self._taken.append(piece)
        submission.took()
        return piece

    def throw(self, typ, val=None, tb=None, /):  # type: ignore[no-untyped-def]
        self.close()
        return super().throw(typ, val, tb)

    def close(self) -> None:
        """Stop generating. `result` then has ``finish_reason="cancelled"``."""
        if self._open.detach() is None:
            return
        submission = self._underway.submission
        if submission is not None:
            submission.cancel()
            if not on_computing_thread():
                submission.member.ended.wait(STEP)
            self.result = submission.result_of(self._taken)
        self._underway.release()

    def run(self) -> InferenceResult:
        """Take all pieces that are left; returns the result."""
        for _ in self:
            pass
        if self.result is None:  # another thread has just closed it
            raise InferenceError("the stream was closed")
        return self.result

    def __enter__(self) -> TextStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise no_copy(self)

    def _begin(self) -> Submission:
        submission = Submission(
            self._session, self._request, self._delivered.put, ahead=self._ahead
        )
        submit(self._session, [submission])
        self._underway.submission = submission
        return submission

    def _take(self, submission: Submission) -> str | None:
        """The next piece; None once there is none."""
        while True:
            ended = submission.ended  # seen before the queue, so an empty one stays empty
            with contextlib.suppress(queue.Empty):
                return self._delivered.get_nowait()
            if ended:  # in a forked child, or with two readers
                return None
            submission.want_more()
            left = submission.cancel_if_late()
            with contextlib.suppress(queue.Empty):
                return self._delivered.get(timeout=POLL if left is None else min(POLL, left))

    def _end(self, submission: Submission) -> NoReturn:
        """The answer has ended: leave the result, and raise what a generator raises."""
        if self._open.detach() is None:  # closed by another thread
            raise StopIteration(submission.result_of(self._taken))
        self.result = submission.decoding.result()
        self._underway.release()
        if submission.decoding.error is not None:
            raise submission.decoding.error
        raise StopIteration(self.result)


class _Underway:
    """What a stream leaves behind when it is collected; it does not know the stream."""

    def __init__(self, hold: Hold | None) -> None:
        self.submission: Submission | None = None
        self._hold = hold

    def drop(self) -> None:
        if self.submission is not None:
            self.submission.cancel()
        if self._hold is not None:
            self._hold.drop()

    def release(self) -> None:
        if self._hold is not None:
            self._hold.release()


def run_batch(
    session: Session, requests: Sequence[Request | Exception]
) -> list[InferenceResult | Exception]:
    """Answer all requests together; each answer, or what went wrong with it, in order.

    An exception among the requests stands for itself.
    """
    return in_order(requests, _run_together(session, answerable(requests)))


def generate_tokens(session: Session, request: Request) -> list[int]:
    """The token ids of an answer, the end token included."""
    (submission,) = _run_together(session, [request])
    if submission.decoding.error is not None:
        raise submission.decoding.error
    return submission.decoding.tokens[len(request.prompt) :]


def _run_together(session: Session, requests: Sequence[Request]) -> list[Submission]:
    """Compute all requests to their ends, their time-outs or an exception such as Ctrl-C."""
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def deliver(piece: str | None) -> None:
        if piece is None:
            ended.put(None)

    submissions = [Submission(session, request, deliver) for request in requests]
    submit(session, submissions)
    limited = [one for one in submissions if one.deadline is not None]
    n_left = len(submissions)
    try:
        while n_left:
            seconds = (one.cancel_if_late() for one in limited)
            with contextlib.suppress(queue.Empty):
                ended.get(timeout=min([POLL, *(left for left in seconds if left is not None)]))
                n_left -= 1
    finally:
        for one in submissions:
            one.cancel()
    return submissions


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
    from ..engine.sampler import NOT_NUMBERS

    tokens = prompt + completion
    place = len(prompt)
    while place < len(tokens):
        # token k is judged by the logits behind token k - 1
        n = min(SCORED_TOGETHER, len(tokens) - place)

        def read(context: Context, end: int, n: int = n) -> NDArray[np.float64]:
            found = [context.logits(i) for i in range(end - n + 1, end + 1)]
            return np.stack(found).astype(np.float64)

        rows = session.compute(tokens[: place + n - 1], applied, n, read)
        if np.isnan(rows).any():
            raise InferenceError(NOT_NUMBERS)
        rows -= rows.max(axis=1, keepdims=True)
        rows -= np.log(np.exp(rows).sum(axis=1, keepdims=True))
        yield rows
        place += n

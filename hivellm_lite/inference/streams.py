"""Answers piece by piece, for a thread that waits for them and can be interrupted meanwhile."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Generator
from typing import NoReturn

from ..errors import InferenceError
from ..process.state import on_computing_thread
from .results import InferenceResult
from .submissions import Prepared, Submission
from .underway import AnswerStream

__all__ = ["POLL", "TextStream"]

POLL = 0.25
"""Seconds after which a waiting thread looks at its signals (Windows has no other way)."""

STEP = 10.0
"""Seconds that closing waits for the step that runs, far more than one takes."""


class TextStream(AnswerStream, Generator[str, None, InferenceResult]):
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

    def __init__(self, prepared: Prepared, *, ahead: bool = False) -> None:
        """``prepared`` has the one request. ``ahead``: compute to the end, whether or not the
        pieces are taken.
        """
        super().__init__(ahead=ahead, prepared=prepared)
        self._prepared = prepared
        self._delivered: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def send(self, value: None, /) -> str:  # noqa: ARG002 - a generator's signature
        if not self._is_open:
            raise StopIteration
        submission = self._underway.submission or self._begin()
        try:
            piece = self._next_piece(submission)
        except BaseException:  # such as Ctrl-C
            self.close()
            raise
        if piece is None:
            self._end(submission)
        if not self._underway.take(submission, piece):  # closed by another thread
            raise StopIteration(self._underway.taken())
        return piece

    def throw(self, typ, val=None, tb=None, /):  # type: ignore[no-untyped-def]
        self.close()
        return super().throw(typ, val, tb)

    def close(self) -> None:
        """Stop generating. `result` then has ``finish_reason="cancelled"``."""
        if not self._leave():
            return
        submission = self._underway.submission
        if submission is not None:
            submission.cancel()
            if not on_computing_thread():
                submission.scheduled.ended.wait(STEP)
            self.result = self._underway.taken()
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

    def _begin(self) -> Submission:
        submission = self._prepared.submission(self._delivered.put, ahead=self._ahead)
        self._underway.begin(self._prepared, submission)
        if not self._is_open:  # closed by another thread, which did not see the submission
            submission.cancel()
        return submission

    def _next_piece(self, submission: Submission) -> str | None:
        """Wait for the next piece; None once there is none."""
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
        if not self._leave():  # closed by another thread
            raise StopIteration(self._underway.taken())
        self.result = submission.decoding.result()
        self._underway.release()
        if submission.decoding.error is not None:
            raise submission.decoding.error
        raise StopIteration(self.result)

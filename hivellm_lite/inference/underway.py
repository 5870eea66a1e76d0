"""What blocking and awaitable streams share: an answer that ends exactly once."""

from __future__ import annotations

import threading
import weakref
from dataclasses import replace
from typing import NoReturn, SupportsIndex

from ..process.state import no_copy
from .results import InferenceResult
from .scheduled import LOOKAHEAD
from .submissions import Prepared, Submission

__all__ = ["AnswerStream", "Underway"]


class Underway:
    """The answer of a stream, apart from the stream, so that its finalizer may touch it."""

    def __init__(self, prepared: Prepared | None = None) -> None:
        self.prepared = prepared
        self.submission: Submission | None = None
        self._taken: list[str] = []
        self._is_left = False
        self._taking = threading.RLock()  # Ctrl-C may close a stream in the middle of `take`

    @property
    def holds(self) -> bool:
        """Whether something must be given back at the end."""
        return self.prepared is not None and self.prepared.hold is not None

    def begin(self, prepared: Prepared, submission: Submission) -> None:
        """Submit the request. Raises InferenceError if the session was closed."""
        prepared.submit([submission])
        self.submission = submission

    def take(self, submission: Submission, piece: str) -> bool:
        """The reader takes a piece; False if the stream was left before, whose result lacks it."""
        with self._taking:
            if self._is_left:
                return False
            self._taken.append(piece)
        submission.took()
        return True

    def drop(self) -> None:
        """Stop the decoding and give back what is held. Never waits, and runs on any thread."""
        if self.submission is not None:
            self.submission.cancel()
        if self.prepared is not None:
            self.prepared.drop()

    def release(self) -> None:
        """Give back what is held, and free what is over the limits; may wait for a step."""
        if self.prepared is not None:
            self.prepared.release()

    def taken(self) -> InferenceResult | None:
        """The result of an answer that its reader left: the pieces that the reader took.

        What was computed ahead of the reader is not in it. None if nothing was submitted.
        """
        if self.submission is None:
            return None
        with self._taking:
            self._is_left = True
            text = "".join(self._taken)
        return replace(self.submission.decoding.result(), text=text, finish_reason="cancelled")


class AnswerStream:
    """The part of a stream that waits for nothing.

    ``result`` is set when the answer has ended or the stream was closed.
    """

    def __init__(self, *, ahead: bool, prepared: Prepared | None = None) -> None:
        self.result: InferenceResult | None = None
        self._ahead = None if ahead else LOOKAHEAD
        self._underway = Underway(prepared)
        # alive until the stream ends, is closed or is collected, whichever comes first
        self._finalizer = weakref.finalize(self, self._underway.drop)
        self._finalizer.atexit = False

    @property
    def _is_open(self) -> bool:
        return self._finalizer.alive

    def _leave(self) -> bool:
        """End the stream; False if it has ended before. True once, whatever thread asks."""
        return self._finalizer.detach() is not None

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise no_copy(self)

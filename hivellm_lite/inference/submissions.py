"""Requests on their way: submitted, delivered, timed out, cancelled and given back.

All ways of asking use this: streams, lists and coroutines. A submission knows neither the thread
nor the event loop that waits for it, so its methods never wait, unless they say so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .decoding import AnswerDecoding, Request
from .results import InferenceResult
from .scheduled import ScheduledRequest

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Deliver", "Hold", "Prepared", "Submission"]

Deliver = Callable[["str | None"], object]
"""Gets every piece of an answer's text, and None at its end. The scheduler's thread calls it, so
it must not block."""


class Hold(Protocol):
    """What must stay loaded while an answer is computed."""

    def drop(self) -> None:
        """Give it back, once. Never waits, so a finalizer may call it."""

    def release(self) -> None:
        """Give it back, and free what is over the limits; may wait for a step."""


@dataclass(frozen=True)
class Prepared:
    """Requests, where to compute them, and what stays loaded meanwhile.

    An exception among the requests stands for a prompt that cannot be asked.
    """

    session: Session
    requests: Sequence[Request | Exception]
    hold: Hold | None = None

    def submissions(self, deliver: Deliver, *, ahead: int | None = None) -> list[Submission]:
        """One for each request that can be asked, not yet submitted."""
        return [
            Submission(self.session, request, deliver, ahead=ahead)
            for request in self.requests
            if isinstance(request, Request)
        ]

    def submission(self, deliver: Deliver, *, ahead: int | None = None) -> Submission:
        """The submission of the only request. Raises the exception that stands for it."""
        (request,) = self.requests
        if isinstance(request, Exception):
            raise request
        return Submission(self.session, request, deliver, ahead=ahead)

    def submit(self, submissions: Sequence[Submission]) -> None:
        """Compute all of them together. Raises InferenceError if the session was closed."""
        self.session.scheduler.submit(one.scheduled for one in submissions)

    def outcomes(self, submissions: Sequence[Submission]) -> list[InferenceResult | Exception]:
        """What became of each request, in order; an exception stands for itself."""
        outcomes = (one.outcome() for one in submissions)
        return [next(outcomes) if isinstance(one, Request) else one for one in self.requests]

    def drop(self) -> None:
        """Give back what is held."""
        if self.hold is not None:
            self.hold.drop()

    def release(self) -> None:
        """Give back what is held, and free what is over the limits; may wait for a step."""
        if self.hold is not None:
            self.hold.release()


class Submission:
    """One request, as the code that waits for its answer sees it.

    ``ahead``: pieces of text that may be computed before the reader takes them (`took`); None is
    no limit.
    """

    def __init__(
        self,
        session: Session,
        request: Request,
        deliver: Deliver,
        *,
        ahead: int | None = None,
    ) -> None:
        with session.in_use():
            self.decoding = AnswerDecoding(request, session.model, session.n_ctx)
        self.scheduled = ScheduledRequest(self.decoding, deliver, ahead)
        self._scheduler = session.scheduler
        timeout = request.timeout
        self.deadline = None if timeout is None else time.monotonic() + timeout
        """When the request times out, on the clock of `time.monotonic`; None is never."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is delivered."""
        return self.scheduled.ended.is_set()

    def took(self) -> None:
        """The reader took a piece."""
        self.scheduled.n_taken += 1

    def want_more(self) -> None:
        """The reader has taken every piece and waits for the next one."""
        if self.scheduled.ahead is not None:
            self._scheduler.want_more()

    def cancel(self, reason: str = "cancelled") -> None:
        """End the request within a step. Never waits."""
        self._scheduler.cancel(self.scheduled, reason)

    def cancel_if_late(self) -> float | None:
        """End the request if its time is over; otherwise the seconds that are left, if limited."""
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left > 0:
            return left
        self.deadline = None
        self.cancel("timeout")
        return None

    def outcome(self) -> InferenceResult | Exception:
        """The result of an answer that has ended, or what it failed with."""
        if isinstance(self.decoding.error, Exception):
            return self.decoding.error
        return self.decoding.result()

"""One request on its way, as the one who waits for its answer holds it.

All ways of asking use this: a stream, a list, a coroutine. A submission knows neither the thread
nor the event loop that waits, so what it does never waits either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from .decoding import Decoding, Request
from .results import InferenceResult
from .turns import Member

if TYPE_CHECKING:
    from .session import Session

__all__ = ["Hold", "Submission", "answerable", "in_order", "submit"]


class Hold(Protocol):
    """What must stay loaded while an answer is computed."""

    def drop(self) -> None:
        """Give it back, once. Never waits, so a finalizer may call it."""

    def release(self) -> None:
        """Give it back, and free what is over the limits; may wait for a step."""


class Submission:
    """See the module's docstring. ``deliver`` gets every piece of text, and None at the end.

    ``deliver`` is called on the scheduler's thread and must not block. ``ahead``: pieces that are
    computed before they were taken (`took`); None is no limit.
    """

    def __init__(
        self,
        session: Session,
        request: Request,
        deliver: Callable[[str | None], None],
        *,
        ahead: int | None = None,
    ) -> None:
        with session.in_use():
            self.decoding = Decoding(request, session.model, session.n_ctx)
        self.member = Member(self.decoding, deliver, ahead)
        self._scheduler = session.scheduler
        timeout = request.timeout
        self.deadline = None if timeout is None else time.monotonic() + timeout
        """When the answer is late, on the clock of `time.monotonic`; None is never."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is delivered."""
        return self.member.ended.is_set()

    def took(self) -> None:
        """The reader took a piece."""
        self.member.n_taken += 1

    def want_more(self) -> None:
        """The reader has taken every piece and waits for the next one."""
        if self.member.ahead is not None:
            self._scheduler.want_more()

    def cancel(self, reason: str = "cancelled") -> None:
        """End the request within a step. Never waits."""
        self._scheduler.cancel(self.member, reason)

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

    def result_of(self, taken: Sequence[str]) -> InferenceResult:
        """The result of an answer that its reader left: what was computed ahead was not seen."""
        return replace(self.decoding.result(), text="".join(taken), finish_reason="cancelled")


def submit(session: Session, submissions: Iterable[Submission]) -> None:
    """Compute all of them together. Raises InferenceError when the session was closed."""
    session.scheduler.submit(one.member for one in submissions)


def answerable(requests: Sequence[Request | Exception]) -> list[Request]:
    """The requests among what may be the errors of prompts that cannot be asked."""
    return [request for request in requests if isinstance(request, Request)]


def in_order(
    requests: Sequence[Request | Exception], submissions: Sequence[Submission]
) -> list[InferenceResult | Exception]:
    """The outcomes of the `answerable` ones at their places, errors at theirs."""
    outcomes = (one.outcome() for one in submissions)
    return [next(outcomes) if isinstance(one, Request) else one for one in requests]

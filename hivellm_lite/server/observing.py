"""Who watches requests: metrics, traces and the access log implement these protocols."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..inference.results import InferenceResult

__all__ = ["NOBODY", "Observation", "Observer", "Together"]


class Observation(Protocol):
    """One request that is answered, from admission to its end. All calls are on the event loop."""

    def queued(self) -> None:
        """The request has a place in the queue; its expert may have to be loaded first."""

    def first_token(self, so_far: InferenceResult, ago: float = 0.0) -> None:
        """The first text, or thought, of the first answer was there ``ago`` seconds before now."""

    def token(self, n: int) -> None:
        """A piece of text of ``n`` tokens, about, was sent."""

    def ended(self, results: Sequence[InferenceResult], status: int) -> None:
        """The request ended. ``results`` has one for each choice, and none after an error.
        ``status``: the HTTP status; 499 for a client that went away, and after the beginning of
        a stream the status that its error would have had.
        """


class Observer(Protocol):
    """Is told of every request for an answer or a score."""

    def request_began(self, kind: str, model: str) -> Observation:
        """``kind``: ``chat``, ``completion``, ``response`` or ``score``. ``model``: the name of
        the expert that answers, ``base``, or a blend as it is written in a request.
        """


class _Nothing:
    def request_began(self, kind: str, model: str) -> _Nothing:  # noqa: ARG002
        return self

    def queued(self) -> None:
        pass

    def first_token(self, so_far: InferenceResult, ago: float = 0.0) -> None:
        pass

    def token(self, n: int) -> None:
        pass

    def ended(self, results: Sequence[InferenceResult], status: int) -> None:
        pass


NOBODY: Observer = _Nothing()
"""Watches nothing."""


class Together:
    """Several observers as one."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def request_began(self, kind: str, model: str) -> Observation:
        """See `Observer`."""
        return _All([one.request_began(kind, model) for one in self._observers])


class _All:
    def __init__(self, observations: Sequence[Observation]) -> None:
        self._observations = observations

    def queued(self) -> None:
        for one in self._observations:
            one.queued()

    def first_token(self, so_far: InferenceResult, ago: float = 0.0) -> None:
        for one in self._observations:
            one.first_token(so_far, ago)

    def token(self, n: int) -> None:
        for one in self._observations:
            one.token(n)

    def ended(self, results: Sequence[InferenceResult], status: int) -> None:
        for one in self._observations:
            one.ended(results, status)

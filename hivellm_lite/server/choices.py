"""What chat and text completions share: the head of objects, usage, and the end of a stream."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence

from ..inference.results import InferenceResult
from .asking import MAX_CHOICES
from .errors import APIError
from .fields import Fields
from .sse import DONE, event
from .usage import usage

__all__ = ["Choices", "includes_usage", "read_n"]


class Choices:
    """The common part of a `Form` whose objects have ``choices``.

    ``prefix`` begins the objects' ids, ``chunk`` is the kind of object that a stream has. ``n``:
    answers to each prompt.
    """

    prefix: str
    chunk: str

    def __init__(self, model: str, n: int, *, include_usage: bool) -> None:
        self._head = {"id": f"{self.prefix}-{secrets.token_hex(12)}", "created": int(time.time())}
        self._model = model
        self._n = n
        self._include_usage = include_usage

    def finish(self, results: Sequence[InferenceResult]) -> Iterator[bytes]:
        if self._include_usage:
            yield event({**self._object(self.chunk, []), "usage": self._usage(results)})
        yield DONE

    def failure(self, error: APIError) -> Iterator[bytes]:
        yield event(error.body)
        yield DONE

    def _usage(self, results: Sequence[InferenceResult]) -> dict[str, object]:
        return usage(results, n=self._n)

    def _object(self, kind: str, choices: Sequence[object]) -> dict[str, object]:
        return {**self._head, "object": kind, "model": self._model, "choices": choices}


def read_n(body: Fields) -> int:
    """How many answers each prompt gets."""
    return body.whole("n", 1, MAX_CHOICES) or 1


def includes_usage(body: Fields) -> bool:
    """Whether a stream ends with a chunk that has the usage."""
    options = body.nested("stream_options")
    return options is not None and bool(options.flag("include_usage"))

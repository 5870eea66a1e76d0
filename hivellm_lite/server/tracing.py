"""OpenTelemetry spans of requests, where ``opentelemetry-api`` is installed and configured.

One span for each request, and in it one for each stage: queue, prompt, decode. Names and attributes
are those of the semantic conventions for generative AI (``gen_ai.*``).

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from typing import Any

from ..inference.results import InferenceResult
from .observing import NOBODY, Observation, Observer

__all__ = ["tracing"]

_OPERATIONS = {"chat": "chat", "completion": "text_completion", "response": "chat"}


def tracing() -> Observer:
    """The observer that makes spans, or one that does nothing without OpenTelemetry."""
    try:
        trace = importlib.import_module("opentelemetry.trace")
    except ImportError:
        return NOBODY
    return _Tracing(trace)


class _Tracing:
    def __init__(self, trace: Any) -> None:
        self._trace = trace
        self._tracer = trace.get_tracer("hivellm_lite.server")

    def request_began(self, kind: str, model: str) -> Observation:
        operation = _OPERATIONS.get(kind, kind)
        attributes = {
            "gen_ai.operation.name": operation,
            "gen_ai.system": "hivellm_lite",
            "gen_ai.request.model": model,
        }
        span = self._tracer.start_span(
            f"{operation} {model}", kind=self._trace.SpanKind.SERVER, attributes=attributes
        )
        return _Span(span, self._trace, self._tracer)


class _Span:
    """One request; see `Observation`."""

    def __init__(self, span: Any, trace: Any, tracer: Any) -> None:
        self._span, self._trace, self._tracer = span, trace, tracer
        self._stage: Any = None
        self._queued = 0

    def queued(self) -> None:
        self._queued = time.time_ns()
        self._begin("queue", self._queued)

    def first_token(self, so_far: InferenceResult, ago: float = 0.0) -> None:
        # what was computed is known only now; the stages before it are told afterwards
        first = max(self._queued, time.time_ns() - int(ago * 1e9))
        waited = so_far.time_to_first_token - so_far.time_in_queue
        self._begin("prompt", max(self._queued, first - int(waited * 1e9)))
        self._stage.set_attribute("gen_ai.usage.input_tokens", so_far.prompt_tokens)
        self._stage.set_attribute("hivellm.cached_input_tokens", so_far.cached_prompt_tokens)
        self._begin("decode", first)

    def token(self, n: int) -> None:
        pass

    def _begin(self, stage: str, at: int) -> None:
        """End the stage before, and begin the next one within the request's span, at a time in
        nanoseconds since the epoch.
        """
        self._end_stage(at)
        within = self._trace.set_span_in_context(self._span)
        self._stage = self._tracer.start_span(stage, context=within, start_time=at)

    def _end_stage(self, at: int) -> None:
        if self._stage is not None:
            self._stage.end(at)
            self._stage = None

    def ended(self, results: Sequence[InferenceResult], status: int) -> None:
        self._end_stage(time.time_ns())
        span = self._span
        span.set_attribute("http.response.status_code", status)
        if results:
            span.set_attribute("gen_ai.usage.input_tokens", sum(r.prompt_tokens for r in results))
            generated = sum(r.completion_tokens for r in results)
            span.set_attribute("gen_ai.usage.output_tokens", generated)
            reasons = [r.finish_reason for r in results]
            span.set_attribute("gen_ai.response.finish_reasons", reasons)
        if status >= 500:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end()

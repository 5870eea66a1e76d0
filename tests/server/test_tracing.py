"""Spans of requests: queue, prompt and decode within each request's own."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hivellm_lite.server.application import create_server
from hivellm_lite.server.options import ServerOptions

QUESTION = {"model": "sql", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 6}


@pytest.fixture
def spans_of(manager, monkeypatch):
    """The finished spans of one request to the whole server."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)

    def ask(path, body):
        app = create_server(manager, ServerOptions(queue=4))

        async def exchange():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as one:
                return await one.post(path, json=body)

        asyncio.run(exchange())
        return {span.name: span for span in exporter.get_finished_spans()}

    yield ask
    provider.shutdown()


def test_a_request_has_a_span_for_each_stage_in_order(spans_of):
    spans = spans_of("/v1/chat/completions", QUESTION)
    request = spans["chat sql"]
    stages = [spans[name] for name in ("queue", "prompt", "decode")]
    assert all(one.parent.span_id == request.context.span_id for one in stages)
    times = [time for one in stages for time in (one.start_time, one.end_time)]
    assert times == sorted(times)
    assert request.start_time <= times[0]
    assert times[-1] <= request.end_time
    told = request.attributes
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.request.model"] == "sql"
    assert told["gen_ai.usage.output_tokens"] == 6
    assert told["gen_ai.response.finish_reasons"] == ("length",)
    assert told["http.response.status_code"] == 200
    assert "Hello" not in str([dict(one.attributes) for one in spans.values()])


def test_a_refused_request_has_its_status(spans_of):
    spans = spans_of("/v1/chat/completions", {**QUESTION, "n": 5})
    assert spans["chat sql"].attributes["http.response.status_code"] == 400


def test_a_score_is_one_span(spans_of):
    body = {"model": "sql", "prompt": "Hello", "completion": " world"}
    spans = spans_of("/v1/score", body)
    assert spans["score sql"].attributes["gen_ai.operation.name"] == "score"

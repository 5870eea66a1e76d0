"""A real server behind HAProxy: answers, streams, and a drain."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from hivellm_lite.server.application import create_server
from hivellm_lite.server.options import ServerOptions
from hivellm_lite.server.service import Service

from ..deploy.proxy import HAPROXY, Proxy, haproxy
from .running import serving

pytestmark = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")

QUESTION = {"prompt": "Hello", "max_tokens": 8, "temperature": 0, "model": "sql"}
PATH = "/v1/completions"


@pytest.fixture
def proxied(manager) -> Iterator[tuple[Proxy, Service]]:
    """One of the three servers is there; the others' addresses are nobody's."""
    app = create_server(manager, ServerOptions())
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        nowhere = f"127.0.0.1:{nobody.getsockname()[1]}"
    with serving(app) as address, haproxy([nowhere, address, nowhere]) as proxy:
        proxy.wait_for_state("s1", "DOWN")
        proxy.wait_for_state("s3", "DOWN")
        proxy.wait_for_state("s2", "UP")
        yield proxy, app.state.service


def test_answers_and_streams_are_those_of_the_library(proxied, manager):
    proxy, _ = proxied
    expected = manager.generate("sql", "Hello", max_tokens=8, temperature=0, template="raw")
    whole = proxy.client.post(PATH, json=QUESTION).json()
    assert whole["choices"][0]["text"] == expected.text
    with proxy.client.stream("POST", PATH, json={**QUESTION, "stream": True}) as answer:
        data = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert data.pop() == "[DONE]"
    texts = [choice["text"] for one in data for choice in json.loads(one)["choices"]]
    assert "".join(texts) == expected.text


def test_a_server_that_drains_is_asked_no_more(proxied):
    proxy, service = proxied
    service.admission.drain()
    refused: httpx.Response = proxy.client.post(PATH, json=QUESTION)
    assert refused.status_code == 503  # there is no other server to ask
    proxy.wait_for_state("s2", "DOWN")
    assert proxy.client.get("/ready").status_code == 503

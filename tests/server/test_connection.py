"""Clients that go away, requests that take too long, and a server that ends: nothing is left."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from hivellm_lite import ExpertManager
from hivellm_lite.server.app import create_app
from hivellm_lite.server.options import ServerOptions

from ..support.waiting import wait_until
from .running import serving

CHAT = "/v1/chat/completions"
ENDLESS = {
    "model": "sql",
    "max_tokens": 15_000,
    "temperature": 1,
    "grammar": 'root ::= [a-z]* "zqxzqxzqxzqx"',  # an ending that no model hits upon
}


@pytest.fixture(scope="module")
def long_manager(tiny_base, experts, tmp_path_factory) -> Iterator[ExpertManager]:
    """An expert whose answers and prompts can take long."""
    cache_dir = tmp_path_factory.mktemp("cache")
    options = {"n_ctx": 16384, "n_threads": 1, "cache_dir": cache_dir, "base": tiny_base}
    with ExpertManager(**options) as loaded:
        loaded.load_expert("sql", experts("sql"))
        yield loaded


@pytest.fixture
def app(long_manager):
    return create_app(long_manager, ServerOptions(timeout=60))


def body(content: str = "Hello", **fields) -> bytes:
    messages = [{"role": "user", "content": content}]
    return json.dumps({**ENDLESS, "messages": messages, **fields}).encode()


def hang_up_after(address: str, sent: bytes, until) -> None:
    """Send a request, wait until ``until(received)`` holds, and close the connection."""
    parts = urlsplit(address)
    with socket.create_connection((parts.hostname, parts.port)) as connection:
        head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent)
        connection.settimeout(60)
        until(connection)


def counts(manager) -> dict:
    (base,) = manager.stats()["bases"]
    return base["requests"]


class TestDisconnects:
    @pytest.mark.parametrize("stream", [False, True])
    def test_in_the_prompt_phase_the_computing_ends(self, app, long_manager, stream):
        before = counts(long_manager)["cancelled"]
        prompt = "".join(chr(97 + i % 23) + " " for i in range(7000))

        def computing(_connection) -> None:
            wait_until(lambda: counts(long_manager)["active"] > 0)

        with serving(app) as address:
            hang_up_after(address, body(prompt, stream=stream), computing)
            wait_until(lambda: counts(long_manager)["cancelled"] == before + 1)
            wait_until(lambda: app.state.service.admission.n_busy == 0)

    def test_while_it_answers_the_decoding_ends(self, app, long_manager):
        before = counts(long_manager)["cancelled"]
        with serving(app) as address:
            hang_up_after(address, body(stream=True), lambda connection: connection.recv(4096))
            wait_until(lambda: counts(long_manager)["cancelled"] == before + 1)
            wait_until(lambda: app.state.service.admission.n_busy == 0)

    def test_several_answers_end_together(self, app, long_manager):
        before = counts(long_manager)
        with serving(app) as address:
            hang_up_after(address, body(stream=True, n=3), lambda connection: connection.recv(4096))
            wait_until(lambda: app.state.service.admission.n_busy == 0)
            wait_until(
                lambda: counts(long_manager)["active"] == counts(long_manager)["queued"] == 0
            )
        # the client may be gone before the last of the three is begun
        begun, cancelled = (counts(long_manager)[n] - before[n] for n in ("requests", "cancelled"))
        assert 1 <= begun == cancelled <= 3


class TestLimits:
    @pytest.fixture
    def ask(self, long_manager, call_app):
        app = create_app(long_manager, ServerOptions(timeout=1.5))
        return lambda **fields: call_app(app, body(**fields))

    def test_a_whole_answer_that_takes_too_long_is_an_error(self, ask, long_manager):
        response = ask()
        assert response.status_code == 504
        assert response.json()["error"]["code"] == "timeout"
        assert response.headers["x-should-retry"] == "false"
        wait_until(lambda: counts(long_manager)["active"] == 0)

    def test_a_stream_that_takes_too_long_ends_with_one_error(self, ask, long_manager):
        parts = ask(stream=True).text.split("\n\n")
        assert parts[-2:] == ["data: [DONE]", ""]
        errors = [part for part in parts if part.startswith('data: {"error"')]
        assert errors == [parts[-3]]
        assert json.loads(errors[0].removeprefix("data: "))["error"]["code"] == "timeout"
        wait_until(lambda: counts(long_manager)["active"] == 0)

    def test_a_server_that_stops_ends_its_streams(self, app):
        with serving(app) as address, httpx.Client(timeout=60) as client:
            headers = {"Content-Type": "application/json"}
            request = {"content": body(stream=True), "headers": headers}
            with client.stream("POST", address + CHAT, **request) as response:
                pieces = response.iter_raw()
                next(pieces)
                app.state.service.admission.drain()
                refused = client.post(address + CHAT, content=body(), headers=headers)
                app.state.service.admission.stop_all()
                rest = b"".join(pieces)
        assert refused.status_code == 503
        assert b'"code":"shutting_down"' in rest
        assert rest.endswith(b"data: [DONE]\n\n")

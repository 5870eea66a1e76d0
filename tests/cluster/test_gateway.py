"""The front: the server's answers, and what it says where a replica is lost."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from hivellm_lite.cluster import gateway
from hivellm_lite.cluster.gateway import create_gateway, expert_of
from hivellm_lite.server.admission import Admission
from hivellm_lite.server.options import APIKey, ServerOptions

from ..server.running import serving
from ..support.waiting import wait_until
from .near_replicas import NearReplicas

NAMES = ("sql", "style")
CHAT = "/v1/chat/completions"
SHORT = {"temperature": 0, "max_tokens": 3}
KEY = "a-key-of-sixteen-characters"


def chat(model: str = "sql", **more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": "How many users are there?"}]
    return {"model": model, "messages": messages, "temperature": 0, "max_tokens": 8, **more}


def front(replicas: NearReplicas, admission: Admission | None = None, **options: Any) -> Any:
    told = ServerOptions(**options)
    return create_gateway(told, NAMES, replicas, admission or Admission(told.queue))


def ask(app: Any, method: str, path: str, **arguments: Any) -> httpx.Response:
    async def exchange() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, **arguments)

    return asyncio.run(exchange())


async def _never(_scope: Scope, _receive: Receive, _send: Send) -> None:
    await asyncio.sleep(60)


# --- the server's own answers ------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "arguments"),
    [
        ("POST", CHAT, {"json": chat()}),
        ("POST", CHAT, {"json": chat("sql:0.5+style:0.7")}),
        ("POST", CHAT, {"json": chat("auto")}),
        ("POST", CHAT, {"json": chat(stream=True)}),
        ("POST", "/v1/completions", {"json": {"model": "style", "prompt": "A", **SHORT}}),
        ("POST", "/v1/responses", {"json": {"model": "sql", "input": "A", "temperature": 0}}),
        ("POST", CHAT, {"json": chat("nobody")}),
        ("POST", CHAT, {"json": chat(temperature="hot")}),
        ("POST", CHAT, {"content": b"{", "headers": {"Content-Type": "application/json"}}),
        ("POST", CHAT, {"content": b"{}", "headers": {"Content-Type": "text/plain"}}),
        ("POST", CHAT, {"content": b"[" * 5000, "headers": {"Content-Type": "application/json"}}),
        ("GET", CHAT, {}),
        ("GET", "/v1/models", {}),
        ("GET", "/v1/models/sql", {}),
        ("GET", "/nothing", {}),
        ("GET", "/openapi.json", {}),
        ("GET", "/", {}),
    ],
)
def test_an_answer_is_the_servers(replicas, method, path, arguments):
    inner = replicas()
    direct = ask(inner._app, method, path, **arguments)
    through = ask(front(inner), method, path, **arguments)
    assert through.status_code == direct.status_code
    assert plain(through.text) == plain(direct.text)
    others = ("x-request-id", "content-length")
    assert {k: v for k, v in through.headers.items() if k not in others} == {
        k: v for k, v in direct.headers.items() if k not in others
    }


def plain(text: str) -> str:
    """Without names, times and what was found in a cache, which no two answers share."""
    text = re.sub(r'"cached_tokens":\s?\d+', '"cached_tokens":0', text)
    text = re.sub(r"\b(chatcmpl|cmpl|resp|msg|rs)[-_][0-9a-f]+", r"\1", text)
    return re.sub(r'"(created|created_at|completed_at)":\s?\d+(\.\d+)?', r'"\1":0', text)


# --- who is asked ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "expert"),
    [
        ("sql", "sql"),
        ("sql:0.2+style:-0.9", "style"),
        ("style:0.5", "style"),
        ("base", ""),
        ("nobody", ""),
        ("sql:heavy", ""),
        (7, ""),
        (None, ""),
    ],
)
def test_the_replica_is_chosen_by_the_model(replicas, model, expert):
    inner = replicas()
    ask(front(inner), "POST", CHAT, json=chat(model))
    assert [name for name, _ in inner.asked] == [expert]


def test_the_model_is_found_behind_long_messages(replicas):
    inner = replicas()
    body = {"messages": [{"role": "user", "content": "x" * 200_000}], "model": "style"}
    ask(front(inner), "POST", CHAT, json=body)
    assert inner.asked[0][0] == "style"


def test_auto_is_answered_where_the_chosen_expert_is(replicas):
    inner = replicas()
    question = [{"role": "user", "content": "Write this in a formal style."}]
    response = ask(front(inner), "POST", CHAT, json=chat("auto", messages=question))
    assert response.status_code == 200
    assert [(name, scope["path"]) for name, scope in inner.asked] == [
        ("", "/v1/route"),
        ("style", CHAT),
    ]


def test_a_body_that_auto_cannot_read_is_refused_by_any_replica(replicas):
    inner = replicas()
    response = ask(front(inner), "POST", CHAT, json={"model": "auto", "messages": 7})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == "messages"


def test_a_replica_that_cannot_decide_for_auto_does_not_fail_the_front():
    inner = NearReplicas(PlainTextResponse("broken", 500))
    response = ask(front(inner), "POST", CHAT, json=chat("auto"))
    assert (response.status_code, response.text) == (500, "broken")


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b'{"model":', b"\xff", b'{"model":"a"' * 9])
def test_what_is_no_object_names_nobody(body):
    assert expert_of(body, NAMES) == ""


# --- what the front refuses itself -------------------------------------------------------


def test_keys_are_checked_before_a_replica_is_asked(replicas):
    inner = replicas()
    app = front(inner, keys=(APIKey("ann", KEY),))
    refused = ask(app, "POST", CHAT, json=chat())
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    assert ask(app, "GET", "/metrics").status_code == 401
    assert not inner.asked
    assert ask(app, "GET", "/health").status_code == 200
    allowed = ask(app, "POST", CHAT, json=chat(), headers={"Authorization": f"Bearer {KEY}"})
    assert allowed.status_code == 200


@pytest.mark.parametrize("path", ["/", "/health", "/ready"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_no_replica_works_for_a_client_without_a_key(replicas, method, path):
    inner = replicas()
    app = front(inner, keys=(APIKey("ann", KEY),))
    response = ask(app, method, path, content=b"x" * 1000)
    assert not inner.asked
    direct = ask(inner._app, method, path, content=b"x" * 1000)
    assert (response.status_code, response.text) == (direct.status_code, direct.text)
    allowed = [one.headers.get("allow", "").split(", ") for one in (response, direct)]
    assert set(allowed[0]) == set(allowed[1])


def test_the_key_is_not_handed_over(replicas):
    inner = replicas()
    app = front(inner, keys=(APIKey("ann", KEY),))
    headers = {"Authorization": f"Bearer {KEY}"}
    assert ask(app, "POST", CHAT, json=chat("auto"), headers=headers).status_code == 200
    assert [scope["path"] for _, scope in inner.asked] == ["/v1/route", CHAT]
    assert KEY not in str(inner.asked)


def test_other_names_and_long_bodies_are_refused(replicas):
    inner = replicas()
    app = front(inner, max_body=1000)
    response = ask(app, "GET", "/v1/models", headers={"Host": "evil.example"})
    assert (response.status_code, response.json()["error"]["code"]) == (403, "host_not_allowed")
    response = ask(app, "POST", CHAT, json=chat(stop="x" * 2000))
    assert response.status_code == 413
    assert not inner.asked


def test_a_full_front_says_when_to_ask_again(replicas):
    inner, admission = replicas(), Admission(2)
    with admission.place(2):
        response = ask(front(inner, admission), "POST", CHAT, json=chat())
    assert (response.status_code, response.json()["error"]["code"]) == (429, "queue_full")
    assert response.headers["retry-after"] == "1"
    assert not inner.asked


def test_a_front_that_ends_is_not_ready(replicas):
    inner, admission = replicas(), Admission(2)
    app = front(inner, admission)
    assert ask(app, "GET", "/ready").json() == {"status": "ready", "answers": 0, "limit": 2}
    admission.drain()
    assert ask(app, "GET", "/ready").status_code == 503
    response = ask(app, "POST", CHAT, json=chat())
    assert (response.status_code, response.json()["error"]["code"]) == (503, "shutting_down")
    assert ask(app, "GET", "/health").status_code == 200


@pytest.mark.parametrize("model", ["sql", "auto"])
def test_a_replica_that_never_answers_is_given_up(monkeypatch, model):
    monkeypatch.setattr(gateway, "GRACE", 0.1)
    inner = NearReplicas(_never)
    response = ask(front(inner, timeout=0.1), "POST", CHAT, json=chat(model))
    assert (response.status_code, response.json()["error"]["code"]) == (504, "timeout")
    assert inner.cancelled == 1


# --- a replica that is lost --------------------------------------------------------------


def test_a_lost_answer_can_be_asked_for_again(replicas):
    inner = replicas()
    app = front(inner)
    inner.lost_after = 0
    response = ask(app, "POST", CHAT, json=chat())
    assert (response.status_code, response.json()["error"]["code"]) == (503, "replica_lost")
    assert response.headers["retry-after"] == "1"
    inner.lost_after = None
    assert ask(app, "POST", CHAT, json=chat()).status_code == 200


def test_a_lost_stream_ends_with_an_error(replicas):
    inner = replicas()
    inner.lost_after = 3
    response = ask(front(inner), "POST", CHAT, json=chat(stream=True))
    assert response.status_code == 200
    *_, told, done, empty = response.text.split("\n\n")
    assert (done, empty) == ("data: [DONE]", "")
    assert json.loads(told.removeprefix("data: "))["error"]["code"] == "replica_lost"


def test_a_lost_response_ends_with_an_event_of_its_kind(replicas):
    inner = replicas()
    inner.lost_after = 4
    body = {"model": "sql", "input": "A", "max_output_tokens": 8, "stream": True}
    response = ask(front(inner), "POST", "/v1/responses", json=body)
    events = [one.split("\n") for one in response.text.removesuffix("\n\n").split("\n\n")]
    names = [one[0] for one in events]
    assert names.count("event: error") == 1
    assert names[-1] == "event: error"
    told = json.loads(events[-1][1].removeprefix("data: "))
    assert (told["type"], told["code"]) == ("error", "replica_lost")
    assert told["sequence_number"] == len(events) - 1


def test_a_body_that_is_cut_off_does_not_look_whole(replicas):
    inner = replicas()
    inner.lost_after = 1
    with serving(front(inner)) as address, pytest.raises(httpx.RemoteProtocolError):
        httpx.post(f"{address}{CHAT}", json=chat(), timeout=30)


# --- a client that leaves ----------------------------------------------------------------


def test_a_client_that_leaves_ends_the_replicas_work():
    ended = asyncio.Event()

    async def slow(_scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
        try:
            await receive()  # the body
            await receive()
        finally:
            ended.set()

    inner, admission = NearReplicas(slow), Admission(4)
    with serving(front(inner, admission)) as address:
        with httpx.stream("POST", f"{address}{CHAT}", json=chat(stream=True), timeout=30) as got:
            chunks = got.iter_raw()  # kept: closing it closes the connection
            next(chunks)
            assert admission.n_busy == 1
        wait_until(lambda: admission.n_busy == 0)
        assert inner.cancelled == 1
        wait_until(ended.is_set)


def test_a_client_that_leaves_while_auto_is_decided_frees_its_place():
    inner, admission = NearReplicas(_never), Admission(4)
    with serving(front(inner, admission)) as address:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}{CHAT}", json=chat("auto"), timeout=0.2)
        wait_until(lambda: admission.n_busy == 0)
        assert inner.cancelled == 1


def test_a_request_that_a_proxy_cancels_is_one_whose_client_left():
    inner, admission = NearReplicas(_never), Admission(4)
    app = front(inner, admission)

    async def cancelled() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            asked = asyncio.create_task(client.post(CHAT, json=chat()))
            while not admission.n_busy:
                await asyncio.sleep(0)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

    asyncio.run(cancelled())
    assert (admission.n_busy, inner.cancelled) == (0, 1)
    page = ask(app, "GET", "/metrics").text
    assert 'hivellm_front_requests_total{status="499"} 1.0' in page
    assert 'status="500"' not in page


# --- metrics -----------------------------------------------------------------------------

PAGE = b"""# HELP hivellm_requests_total Requests
# TYPE hivellm_requests_total counter
hivellm_requests_total{expert="a \\"b\\"",status="200"} 2.0
# TYPE hivellm_seconds histogram
hivellm_seconds_bucket{le="1.0"} 1.0
hivellm_seconds_bucket{le="+Inf"} 1.0
hivellm_seconds_count 1.0
hivellm_seconds_sum 0.5
"""


def test_metrics_of_all_replicas_stand_on_one_page(replicas):
    inner = NearReplicas(PlainTextResponse("no"), pages={"n/1": PAGE, "n/2": PAGE})
    app = front(inner)
    assert ask(app, "POST", CHAT, json=chat()).text == "no"
    families = {one.name: one for one in text_string_to_metric_families(
        ask(app, "GET", "/metrics").text
    )}  # fmt: skip
    assert [(one.labels, one.value) for one in families["hivellm_requests"].samples] == [
        ({"expert": 'a "b"', "status": "200", "replica": replica}, 2.0)
        for replica in ("n/1", "n/2")
    ]
    assert families["hivellm_seconds"].type == "histogram"
    assert len(families["hivellm_seconds"].samples) == 8
    (handed_over,) = (
        one for one in families["hivellm_front_requests"].samples if one.name.endswith("_total")
    )
    assert (handed_over.labels, handed_over.value) == ({"status": "200"}, 1.0)

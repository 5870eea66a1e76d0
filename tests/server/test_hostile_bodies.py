"""Bodies that nobody means well with: always a client's error in OpenAI's form, never a 500."""

from __future__ import annotations

import asyncio
import json
import random

import httpx
import pytest

from hivellm_lite.server.app import create_app
from hivellm_lite.server.options import ServerOptions

JSON = {"Content-Type": "application/json"}
VALID = {
    "/v1/chat/completions": {
        "model": "sql",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 1,
        "max_completion_tokens": 1,
        "temperature": 0,
        "top_p": 1,
        "top_k": 0,
        "min_p": 0,
        "repetition_penalty": 1,
        "adapter_scale": 1,
        "n": 1,
        "seed": 1,
        "stop": ["x"],
        "stream": False,
        "stream_options": {"include_usage": True},
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
        "schema": "t",
        "grammar": "auto",
        "template": "chatml",
        "thinking": False,
        "allow_unenforced": False,
        "tools": [],
        "tool_choice": None,
        "logit_bias": {},
        "logprobs": False,
        "user": "me",
    },
    "/v1/completions": {
        "model": "sql",
        "prompt": "Hi",
        "max_tokens": 1,
        "best_of": 1,
        "echo": False,
        "suffix": "",
    },
    "/v1/score": {"model": "sql", "prompt": "Hi", "completion": "x", "adapter_scale": 1},
    "/v1/route": {"prompt": "Hi", "messages": None},
}
ODD = [
    None, True, False, 0, -1, 1, 1.5, 10**30, -(10**30), 1e308, 1e-308, "", "x", "\u0000",
    "😀" * 50,
    [], {}, [None], [[]], [{}], {"": None}, {"a": {"b": [1]}}, ["x"] * 5, [0.5], "a:b+c",
    {"type": "json_schema"}, {"type": "json_object", "json_schema": 3}, [{"role": "user"}],
    [{"role": "tool", "content": "x"}], [{"role": "assistant", "content": None}],
    {"$ref": "#"}, "../../etc", "/etc/passwd", "root ::= root",
]  # fmt: skip
RAW = {
    "nothing": b"",
    "no object": b"[]",
    "a number": b"1",
    "cut off": b'{"model": "sql", "messages": [',
    "not UTF-8": b'{"model": "\xff"}',
    "half a surrogate pair": b'{"model": "\\ud800"}',
    "deep": b'{"a":' * 100_000,
    "deep and closed": b'{"messages":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "a huge number": b'{"seed": ' + b"9" * 100_000 + b"}",
    "infinity": b'{"temperature": 1e999}',
    "no number": b'{"temperature": NaN}',
    "two byte order marks": b"\xef\xbb\xbf\xef\xbb\xbf{}",
    "UTF-16": '{"model": "sql"}'.encode("utf-16"),
    "many values": b'{"stop": [' + b"1," * 250_000 + b"1]}",
    "a null byte": b"{}\x00",
    "random": random.Random(1).randbytes(5000),
}


@pytest.fixture(scope="module")
def app(manager):
    return create_app(manager, ServerOptions(queue=64))


def ask_all(app, requests) -> list[httpx.Response]:
    """The responses to (path, body, headers), one after the other on one event loop."""

    async def exchange() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return [
                await asyncio.wait_for(client.post(path, content=body, headers=headers), 60)
                for path, body, headers in requests
            ]

    return asyncio.run(exchange())


def check(response: httpx.Response, what: object) -> None:
    assert response.status_code < 500, (what, response.text)
    if response.status_code != 200:
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}, what
        assert error["message"], what


@pytest.mark.unmeasured
@pytest.mark.parametrize("path", VALID)
@pytest.mark.parametrize("name", RAW)
def test_what_is_no_json_object_is_refused(app, path, name):
    (response,) = ask_all(app, [(path, RAW[name], JSON)])
    assert response.status_code == 400
    check(response, name)


@pytest.mark.unmeasured
@pytest.mark.parametrize("path", VALID)
def test_no_value_of_any_field_is_more_than_a_clients_error(app, path):
    bodies = [
        {**VALID[path], "max_tokens": 1, name: value} for name in VALID[path] for value in ODD
    ]
    requests = [(path, json.dumps(body).encode(), JSON) for body in bodies]
    for body, response in zip(bodies, ask_all(app, requests), strict=True):
        check(response, body)


@pytest.mark.unmeasured
@pytest.mark.parametrize("seed", range(3))
def test_random_changes_deep_inside_are_no_more_than_that(app, seed):
    chance = random.Random(seed)

    def changed(value):
        if chance.random() < 0.15:
            return chance.choice(ODD)
        if isinstance(value, dict):
            return {key: changed(one) for key, one in value.items()}
        return [changed(one) for one in value] if isinstance(value, list) else value

    bodies = []
    for path, valid in VALID.items():
        for _ in range(40):
            body = {name: changed(value) for name, value in valid.items()}
            bodies.append((path, {**body, "max_tokens": 1, "max_completion_tokens": 1}))
    requests = [(path, json.dumps(body).encode(), JSON) for path, body in bodies]
    for body, response in zip(bodies, ask_all(app, requests), strict=True):
        check(response, body)


def test_odd_headers_are_no_more_than_that(app):
    body = json.dumps(VALID["/v1/route"]).encode()
    kinds = ["", "application/json; charset=utf-16", "APPLICATION/JSON", "application/vnd.x+json"]
    kinds += ["text/json", "multipart/form-data", "application/json, text/plain", "é"]
    requests = [("/v1/route", body, {"Content-Type": kind.encode()}) for kind in kinds]
    responses = ask_all(app, requests)
    for kind, response in zip(kinds, responses, strict=True):
        check(response, kind)
    assert [r.status_code for r in responses] == [415, 200, 200, 200, 415, 415, 415, 415]

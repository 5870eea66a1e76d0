"""Experts behind HAProxy, as `examples/deploy/haproxy.cfg` routes them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import httpx
import pytest

from ..support.waiting import wait_until
from .proxy import CONFIGURATION, HAPROXY, Fleet, fleet
from .stand_in import HELD

pytestmark = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")

EXPERTS = [f"expert-{number}" for number in range(12)]

LARGE = 200_000
"""Bytes of a long conversation: more than a buffer of HAProxy holds by default."""


@pytest.fixture(scope="module")
def running() -> Iterator[Fleet]:
    with fleet() as started:
        yield started


@pytest.fixture
def proxied(running: Fleet) -> Fleet:
    """All three servers are up, and have been asked nothing."""
    for name, server in running.servers.items():
        server.draining = False
        running.command(f"set server experts/{name} state ready")
        running.wait_for_state(name, "UP")
        server.asked.clear()
        server.go_on.clear()
        server.left.clear()
    return running


def places(proxied: Fleet, *, padding: int = 0) -> dict[str, str]:
    return {name: proxied.ask(name, padding=padding) for name in EXPERTS}


def moved(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in EXPERTS if after[name] != before[name]}


def test_the_configuration_is_valid():
    done = subprocess.run(
        [str(HAPROXY), "-c", "-f", CONFIGURATION], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "warning" in (done.stdout + done.stderr).lower()) == (0, False), done


def test_every_expert_has_one_server_whatever_the_length_of_the_body(proxied):
    before = places(proxied)
    assert set(before.values()) == {"s1", "s2", "s3"}
    for padding in (0, 0, LARGE, LARGE):
        assert places(proxied, padding=padding) == before


def test_a_model_is_one_however_its_name_is_written(proxied):
    for name, place in places(proxied).items():
        escaped = name.replace("-", "\\u002d")
        for body in (
            f'{{"model": "{escaped}"}}',
            f'\n{{ "messages": [{{"model": "sql"}}] ,\t"model"\n:"{name}", "stream": false }}',
        ):
            answer = proxied.client.post("/v1/chat/completions", content=body)
            assert answer.json()["server"] == place


def test_a_stopped_server_moves_only_its_own_experts():
    with fleet() as proxied:
        before = places(proxied)
        proxied.stop("s2")
        at_once = places(proxied)  # every one is answered, though no check has noticed yet
        proxied.wait_for_state("s2", "DOWN")
        after = places(proxied)
    for places_now in (at_once, after):
        assert "s2" not in places_now.values()
        assert moved(before, places_now) == {name for name in EXPERTS if before[name] == "s2"}


def test_a_draining_server_gets_no_new_requests_and_takes_its_experts_back(proxied):
    before = places(proxied)
    server = proxied.servers["s1"]
    server.draining = True
    at_once = places(proxied)  # what it refuses is answered by another
    assert "s1" not in at_once.values()
    proxied.wait_for_state("s1", "DOWN")
    server.asked.clear()
    places(proxied, padding=LARGE)
    assert server.asked == []
    server.draining = False
    proxied.wait_for_state("s1", "UP")
    assert places(proxied) == before


def test_a_server_that_the_operator_drains_gets_no_new_requests(proxied):
    before = places(proxied)
    proxied.command("set server experts/s3 state drain")
    proxied.wait_for_state("s3", "DRAIN")
    drained = places(proxied)
    assert "s3" not in drained.values()
    assert moved(before, drained) == {name for name in EXPERTS if before[name] == "s3"}


def test_an_expert_that_is_asked_by_many_takes_a_second_server_and_no_third(proxied):
    body = {"model": HELD, "messages": []}
    with contextlib.ExitStack() as leaving:
        pool = leaving.enter_context(ThreadPoolExecutor(9))
        clients = [leaving.enter_context(proxied.another_client()) for _ in range(9)]
        answers = [pool.submit(one.post, "/v1/chat/completions", json=body) for one in clients]
        wait_until(lambda: sum(len(one.asked) for one in proxied.servers.values()) == 9)
        for server in proxied.servers.values():
            server.go_on.set()
        wait([*answers])
    none, second, first = sorted(len(server.asked) for server in proxied.servers.values())
    assert (none, second + first) == (0, 9)
    assert second >= 2  # 3, but for threads of HAProxy that count at the same moment


def test_base_auto_and_lists_are_asked_of_all_servers(proxied):
    for model in ("base", "auto"):
        assert {proxied.ask(model) for _ in range(6)} == {"s1", "s2", "s3"}
    lists = [proxied.client.get("/v1/models").json()["server"] for _ in range(6)]
    assert set(lists) == {"s1", "s2", "s3"}


def test_a_stream_passes_event_by_event(proxied):
    body = {"model": "expert-0", "stream": True, "messages": []}
    with proxied.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        name = next(lines).removeprefix("data: ")  # here before the server has written the rest
        proxied.servers[name].go_on.set()
        assert [line for line in lines if line] == ["data: [DONE]"]


def test_a_client_that_leaves_is_noticed_by_the_server(proxied):
    with pytest.raises(httpx.ReadTimeout):
        proxied.client.post("/v1/chat/completions", json={"model": HELD}, timeout=0.2)
    wait_until(lambda: any(server.left.is_set() for server in proxied.servers.values()))


def test_what_the_proxy_refuses(proxied):
    for path in ("/metrics", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"):
        assert proxied.client.get(path).json()["error"]["code"] == "not_here"
    long = proxied.client.post("/v1/chat/completions", content=b" " * 1_000_001)
    assert (long.status_code, long.json()["error"]["code"]) == (413, "body_too_large")
    chunks = iter([b" " * 500_000] * 3)
    long = proxied.client.post("/v1/chat/completions", content=chunks)
    assert (long.status_code, long.json()["error"]["code"]) == (413, "body_too_large")
    assert [server.asked for server in proxied.servers.values()] == [[], [], []]


def test_the_proxy_is_ready_as_long_as_a_server_is(proxied):
    for name, server in proxied.servers.items():
        assert proxied.client.get("/ready").status_code == 200
        server.draining = True
        proxied.wait_for_state(name, "DOWN")
    assert proxied.client.get("/ready").status_code == 503
    refused = proxied.client.post("/v1/chat/completions", json={"model": "sql"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_server")
    assert refused.headers["Retry-After"] == "5"
    assert proxied.client.get("/health").status_code == 200

"""Many clients at once, some of which hang up: no answer is wrong or lost, and nothing is left."""

from __future__ import annotations

import asyncio
import gc
import json
import random

import httpx
import pytest

from hivellm_lite import ExpertManager
from hivellm_lite.server.application import create_server
from hivellm_lite.server.options import ServerOptions

from ..support.waiting import wait_until
from .conftest import OPTIONS
from .running import serving

CHAT = "/v1/chat/completions"
EXPERTS = {"sql": "plain", "style": "rslora", "graph": "patterns"}
QUESTIONS = ["Hello", "How many?", "Name all of them", "Why?", "One more"]
N_CLIENTS, N_REQUESTS, HANG_UP = 32, 300, 0.2


@pytest.fixture(scope="module")
def loaded(tiny_base, experts, tmp_path_factory):
    """Three experts of which two fit: each comes and goes under load.

    On the CPU everywhere, so that an answer does not depend on those beside it.
    """
    cache_dir = tmp_path_factory.mktemp("cache")
    options = {**OPTIONS, "n_ctx": 256, "device": "cpu", "cache_dir": cache_dir}
    with ExpertManager(base=tiny_base, kv_type="f32", max_loaded_experts=2, **options) as manager:
        for name, adapter in EXPERTS.items():
            manager.register_expert(name, experts(name, adapter=adapter))
        yield manager


def body(name: str, question: str) -> dict:
    messages = [{"role": "user", "content": question}]
    return {"model": name, "messages": messages, "temperature": 0, "max_tokens": 16, "stop": []}


@pytest.mark.unmeasured
@pytest.mark.usefixtures("watchdog")
def test_kept_answers_are_those_of_a_lone_request(loaded):
    app = create_server(loaded, ServerOptions(queue=2 * N_CLIENTS))
    draw = random.Random(7)
    asked = [
        (draw.choice(list(EXPERTS)), draw.choice(QUESTIONS), draw.random() < 0.5)
        for _ in range(N_REQUESTS)
    ]
    hangs = [draw.randint(0, 6) if draw.random() < HANG_UP else None for _ in asked]
    alone = {
        (name, question): loaded.generate(
            name, question, temperature=0, max_tokens=16, stop=[]
        ).text
        for name in EXPERTS
        for question in QUESTIONS
    }
    waiting = iter(enumerate(asked))
    answers: dict[int, str] = {}

    async def ask(client: httpx.AsyncClient, index: int) -> None:
        name, question, stream = asked[index]
        hang = hangs[index]
        sent = {**body(name, question), "stream": stream or hang is not None}
        async with client.stream("POST", CHAT, json=sent) as response:
            assert response.status_code == 200
            if not sent["stream"]:
                data = json.loads(await response.aread())
                answers[index] = data["choices"][0]["message"]["content"]
                return
            text, n = "", 0
            async for line in response.aiter_lines():
                if n == hang:
                    return
                n += 1
                if line.startswith("data: {"):
                    text += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
            answers[index] = text

    async def client(address: str) -> None:
        async with httpx.AsyncClient(base_url=address, timeout=120) as connections:
            for index, _ in waiting:
                await ask(connections, index)
                if index % 50 == 0:
                    gc.collect()

    async def all_clients(address: str) -> None:
        await asyncio.gather(*(client(address) for _ in range(N_CLIENTS)))

    with serving(app) as address:
        asyncio.run(all_clients(address))
        wait_until(lambda: app.state.service.admission.n_busy == 0)
        metrics = httpx.get(f"{address}/metrics").text
    kept = [index for index, hang in enumerate(hangs) if hang is None]
    assert set(kept) <= set(answers)
    for index, text in answers.items():
        assert text == alone[asked[index][:2]]
    ended = [line for line in metrics.splitlines() if line.startswith("hivellm_requests_total{")]
    assert sum(float(line.split()[-1]) for line in ended) == N_REQUESTS
    assert not [line for line in ended if 'status="5' in line]

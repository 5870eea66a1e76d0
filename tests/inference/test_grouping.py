"""Streams of one expert stand side by side, so that llama.cpp computes them in one pass."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from hivellm_lite import Expert, ExpertManager
from hivellm_lite.expert import loaded_of

from ..support.devices import ANSWERS

OPTIONS = {"n_ctx": 256, "n_threads": 1}
GREEDY = {"temperature": 0.0, "stop": []}


@pytest.fixture
def packages(tiny_package):
    return {
        "a": tiny_package("a"),
        "b": tiny_package("b", adapter="rslora"),
        "c": tiny_package("c", adapter="patterns"),
    }


@pytest.mark.cpu("elsewhere a copy of a stream costs more than a pass, so streams stay in place")
def test_streams_of_three_experts_are_sorted_and_keep_what_they_hold(packages, tiny_base):
    loaded = [Expert.load(path, base=tiny_base, **OPTIONS) for path in packages.values()]
    kv = loaded[0].session.scheduler.kv
    applied = [loaded_of(expert).applied() for expert in loaded]
    try:
        for expert in loaded:
            expert.generate("Hello", max_tokens=2, **GREEDY)
        session = loaded[0].session

        def arrange() -> list[list[int]]:
            kv.resize(8, 64)
            taken = []
            for number, one in zip(range(7), itertools.cycle(applied)):
                stream = kv.acquire(one, list(range(3, 40 + number)))
                taken.append((stream, list(stream.tokens)))
            kv.close_gaps([stream for stream, _ in taken if stream.applied == applied[1]])
            for stream, tokens in taken:
                assert stream.tokens == tokens
                assert kv.context.n_positions(stream.index) == len(tokens)
            assert [stream.index for stream in kv.streams] == list(range(8))
            places = [sorted(s.index for s, _ in taken if s.applied == one) for one in applied]
            for stream, _ in taken:
                kv.release(stream)
            return places

        for place in session.scheduler.call(arrange):
            assert place == list(range(place[0], place[0] + len(place)))
    finally:
        for expert in loaded:
            expert.close()


@pytest.mark.cpu(ANSWERS)
def test_answers_of_mixed_experts_are_those_of_each_alone(packages, tiny_base):
    prompts = [f"Question {number}" for number in range(8)]
    asked = [(name, prompt, 8 + 5 * n) for n, prompt in enumerate(prompts) for name in packages]
    with ExpertManager(base=tiny_base, **OPTIONS) as manager:
        for name, path in packages.items():
            manager.load_expert(name, path)
        alone = [
            manager.generate(name, prompt, max_tokens=n, **GREEDY).text for name, prompt, n in asked
        ]

        async def together() -> list[str]:
            answers = (
                manager.agenerate(name, prompt, max_tokens=n, **GREEDY) for name, prompt, n in asked
            )
            return [one.text for one in await asyncio.gather(*answers)]

        assert asyncio.run(together()) == alone
        (base,) = manager.stats()["bases"]
        assert base["streams"] > len(packages)

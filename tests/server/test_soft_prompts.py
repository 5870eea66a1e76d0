"""Experts with soft prompts, asked over HTTP."""

from __future__ import annotations

import pytest

from ..support.soft_prompts import listed_package, peft_package

ASKED = {"prompt": "Once upon", "temperature": 0, "max_tokens": 4, "stop": []}


@pytest.fixture
def prompted(manager, tmp_path):
    """The names of two experts: a soft prompt, and one beside a LoRA."""
    manager.load_expert("alone", peft_package(tmp_path / "alone.expert", "tiny-llama/p-tuning"))
    manager.load_expert("beside", listed_package(tmp_path / "beside.expert"))
    yield {"alone": 6, "beside": 7}
    for name in ("alone", "beside"):
        manager.unload_expert(name)


def test_virtual_tokens_count_as_tokens_of_the_prompt(prompted, post, manager):
    base = post("/v1/completions", **ASKED, model="base")["usage"]["prompt_tokens"]
    for name, n_virtual in prompted.items():
        answer = post("/v1/completions", **ASKED, model=name)
        assert answer["usage"]["prompt_tokens"] == base + n_virtual
        alone = manager.generate(
            name, "Once upon", template="raw", temperature=0, max_tokens=4, stop=[]
        )
        assert answer["choices"][0]["text"] == alone.text


def test_scores_are_those_of_the_expert(prompted, post, manager):
    for name in prompted:
        messages = [{"role": "user", "content": "Once upon"}]
        answer = post("/v1/score", model=name, messages=messages, completion="a time")
        scores = manager.score(name, None, "a time", messages=messages)
        assert answer["logprob"] == pytest.approx(sum(one.logprob for one in scores), abs=1e-6)
    assert (
        answer["logprob"]
        != post("/v1/score", model="base", messages=messages, completion="a time")["logprob"]
    )

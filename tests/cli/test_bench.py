"""``hivellm-lite bench``: what is measured, how long answers are, what is left out."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hivellm_lite import Expert
from hivellm_lite.cli.bench import BATCHES, _EndlessAnswer
from hivellm_lite.engine import OPENMP_SETTINGS, Sampler
from hivellm_lite.sampling import SamplingParams

QUICK = ("--n-ctx", 512, "--n-threads", 1, "--tokens", 4)


@pytest.fixture
def bench(tool, tiny_base):
    """Run the command in this process."""

    def run(*arguments: object) -> tuple[int, str]:
        code, out, err = tool("bench", "--base", tiny_base, *QUICK, *arguments)
        assert err == ""
        return code, out

    return run


def test_speeds_and_settings_are_measured(bench, tiny_package):
    code, out = bench(tiny_package(), tiny_package("other"), "--json")
    assert code == 0
    facts = json.loads(out)
    assert facts["expert"] == "tiny@0.3.0"
    assert facts["form"] == "lora"
    assert (facts["threads"], facts["n_ctx"]) == (1, 512)
    assert facts["openmp"] == OPENMP_SETTINGS
    assert facts["load"]["first"]["adapter_converted"] is True
    assert facts["load"]["first"]["total"] > 0
    assert facts["load"]["again"] > 0
    assert (facts["prompt_tokens"], facts["cached_prompt_tokens"]) == (256, 240)
    assert facts["answer_tokens"] == 4
    assert facts["prompt_tokens_per_second"] > 0
    assert facts["answer_tokens_per_second"] > 0
    assert [batch["size"] for batch in facts["batches"]] == list(BATCHES)
    assert all(batch["tokens_per_second"] > 0 for batch in facts["batches"])
    assert facts["swap"]["other"] == "other@0.3.0"
    assert facts["swap"]["first_token_seconds"] > 0


def test_a_table_is_printed(bench, tiny_package):
    code, out = bench(tiny_package())
    assert code == 0
    lines = out.splitlines()
    labels = [line[:12].strip() for line in lines]
    named = "expert, base, settings, llama.cpp, load, prompt, answer, first token"
    assert ", ".join(labels[:8]) == named
    assert labels[8:] == ["together", "", "", "", ""]
    assert "(adapter converted)" in out
    assert "swap" not in labels


def test_batches_are_left_out_when_the_time_is_over(bench, tiny_package):
    package = tiny_package()
    assert json.loads(bench(package, "--seconds", 0, "--json")[1])["batches"] == []
    assert "left out     1, 2, 4, 8, 16 together" in bench(package, "--seconds", 0)[1]


def test_prompts_fit_a_small_context(bench, tiny_package):
    code, out = bench(tiny_package(), "--json", "--n-ctx", 256)
    assert code == 0
    assert json.loads(out)["prompt_tokens"] == 128


def test_no_answer_ends_by_itself(tiny_package, tiny_base):
    with Expert.load(tiny_package(), base=tiny_base, n_ctx=256, n_threads=1) as expert:
        model = expert.session.model
        answer = _EndlessAnswer(model)
        sampler = Sampler(SamplingParams(), 0, model.n_vocab)
        logits = np.zeros(model.n_vocab, np.float32)
        (end,) = model.end_tokens[:1]
        logits[7], logits[end] = 1.0, 2.0
        assert answer.choose(sampler, logits) == 7
        logits[7] = 3.0
        assert answer.choose(sampler, logits) == 7
        answer.accept(7)
        assert (answer.forced(), answer.finished) == ([], False)
        sampler.close()

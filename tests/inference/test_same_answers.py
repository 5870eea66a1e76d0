"""A question has one answer, whatever is cached, parked, or computed beside it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hivellm_lite import Expert
from hivellm_lite.expert import loaded_of

from ..support.devices import BITS
from ..support.paths import EXPERTS, FIXTURES
from ..support.soft_prompts import matrix_package

TABLES = "CREATE TABLE users (id INTEGER, name TEXT, age INTEGER);"
QUESTIONS = [
    "Count the users",
    "Names of users older than 30",
    "The youngest user",
    "All users, sorted by age",
    "Users whose name starts with A",
    "How many users are there whose name is longer than their age",
]
pytestmark = pytest.mark.cpu(BITS)

GREEDY = {"temperature": 0.0, "max_tokens": 8, "stop": [], "grammar": "off"}


def answer(expert, question, schema=TABLES, **options):
    return expert.generate(question, schema=schema, **{**GREEDY, **options})


def answers(expert, questions, schema=TABLES):
    return [answer(expert, question, schema).text for question in questions]


@pytest.fixture(params=["f32", "f16", "q8_0", "q4_0", "q4_1"])
def quantized_base(request, tmp_path):
    from hivellm_lite.converters.base import convert_base

    path = tmp_path / f"tiny-{request.param}.gguf"
    convert_base(FIXTURES / "models" / "tiny-llama", path, quant=request.param)
    return path


def cold_logits(expert, prompt):
    """Logits after a prompt of which the KV cache holds nothing."""
    scheduler = expert.session.scheduler
    for adapter, _ in expert.applied():
        scheduler.call(lambda adapter=adapter: scheduler.kv.forget(adapter))
    return warm_logits(expert, prompt)


def warm_logits(expert, prompt):
    return expert.session.compute(
        prompt, expert.applied(), 1, lambda context, end: context.logits(end).copy()
    )


def test_no_bit_of_the_logits_depends_on_how_much_was_cached(quantized_base, tiny_package):
    with Expert.load(tiny_package("a"), base=quantized_base, n_ctx=512, n_threads=1) as expert:
        n_vocab = expert.session.model.n_vocab
        for n in (2, 9, 31, 129, 137, 257):
            prompt = [(7 * i * i + 3 * i + 5) % n_vocab for i in range(n)]
            expected = cold_logits(expert, prompt)
            assert (warm_logits(expert, prompt) == expected).all()
            for n_known in {1, 2, n // 2, n - 9, n - 8, n - 2, n - 1} & set(range(1, n)):
                cold_logits(expert, [*prompt[:n_known], (prompt[n_known] + 1) % n_vocab])
                assert (warm_logits(expert, prompt) == expected).all(), (n, n_known)


def test_no_bit_depends_on_how_much_of_a_soft_prompt_was_cached(quantized_base, tmp_path):
    rows = np.random.default_rng(0).normal(size=(13, 64)).astype("f4")
    package = matrix_package(tmp_path / "a.expert", rows)
    with Expert.load(package, base=quantized_base, n_ctx=512, n_threads=1) as expert:
        prefix = loaded_of(expert).effect().prefix
        for n in (1, 2, 9, 137):
            prompt = [*prefix, *((7 * i * i + 3 * i + 5) % 500 for i in range(n))]
            expected = cold_logits(expert, prompt)
            for n_known in {1, 8, 12, 13, 14, 20, len(prompt) - 1} & set(range(len(prompt))):
                cold_logits(expert, [*prompt[:n_known], 1])
                assert (warm_logits(expert, prompt) == expected).all(), (n, n_known)


def test_cold_warm_parked_and_saved_prompts_have_one_answer(quantized_base, tiny_package, tmp_path):
    options = {"n_ctx": 512, "n_threads": 1}
    package, other_package = tiny_package("a"), tiny_package("b", adapter="rslora")
    cold = []
    for question in QUESTIONS[:3]:
        with Expert.load(package, base=quantized_base, **options) as expert:
            cold.append(answer(expert, question).text)
    with (
        Expert.load(package, base=quantized_base, **options) as expert,
        Expert.load(other_package, base=quantized_base, **options) as other,
    ):
        for question, expected in zip(QUESTIONS, cold, strict=False):
            assert answer(expert, question).text == expected
            assert answer(expert, question).text == expected
            answer(other, question)
            assert answer(expert, question).text == expected
        assert expert.session.scheduler.kv.counters.restored > 0
        expert.save_state(tmp_path / "warm.kv")
    with Expert.load(package, base=quantized_base, **options) as expert:
        expert.load_state(tmp_path / "warm.kv")
        assert answers(expert, QUESTIONS[:3]) == cold


def test_a_conversation_is_answered_as_if_it_were_new(tiny_package, tiny_base):
    options = {"base": tiny_base, "n_ctx": 512, "n_threads": 1}
    messages = [{"role": "user", "content": "Count the users"}]
    with Expert.load(tiny_package("a"), **options) as expert:
        for _ in range(3):
            text = expert.generate(messages=messages, **GREEDY).text
            messages += [
                {"role": "assistant", "content": text},
                {"role": "user", "content": "And those older than 30?"},
            ]
        warm = expert.generate(messages=messages, **GREEDY)
        assert warm.cached_prompt_tokens > 0
    with Expert.load(tiny_package("a"), **options) as expert:
        cold = expert.generate(messages=messages, **GREEDY)
        assert cold.cached_prompt_tokens == 0
    assert warm.text == cold.text


@pytest.mark.parametrize("parked_bytes", [0, 64 << 20])
@pytest.mark.parametrize("model", ["tiny-llama", "tiny-gemma3", "soft-prompt"])
def test_an_answer_that_others_interrupt_goes_on_as_it_was(
    tiny_package, tmp_path, parked_bytes, model
):
    rows = np.random.default_rng(0).normal(size=(13, 64)).astype("f4")
    soft_prompt = matrix_package(tmp_path / "x.expert", rows) if model == "soft-prompt" else None
    model = "tiny-llama" if soft_prompt else model
    from hivellm_lite.converters.base import convert_base

    base = tmp_path / "base.gguf"
    convert_base(FIXTURES / "models" / model, base, quant="f16")
    adapter = sorted(path.name for path in (FIXTURES / "adapters" / model).iterdir())[0]
    package = soft_prompt or tiny_package("a", adapter=adapter, model=model)
    options = {"n_ctx": 512, "n_threads": 1, "parked_bytes": parked_bytes}
    with Expert.load(package, base=base, **options) as expert:
        alone = answer(expert, QUESTIONS[0], max_tokens=150).text
        scheduler = expert.session.scheduler

        def interrupt():
            for request in list(scheduler.admission.active):
                if request.decoding.n_generated > 20:
                    scheduler.admission.preempt(request)

        with ThreadPoolExecutor() as pool:
            again = pool.submit(answer, expert, QUESTIONS[0], max_tokens=150)
            while not again.done() and scheduler.counters.preempted < 3:
                scheduler.call(interrupt)
            assert again.result().text == alone
        assert scheduler.counters.preempted > 0


@pytest.mark.unmeasured
@pytest.mark.parametrize("name", ["sql", "json"])
def test_the_example_experts_answer_once_and_for_all(real_base, example_cache, name):
    options = {"cache_dir": example_cache, "n_ctx": 512, "n_threads": 1}
    with Expert.load(EXPERTS / f"{name}.expert", base=real_base, **options) as expert:
        first = answers(expert, QUESTIONS)
        assert answers(expert, QUESTIONS) == first
        batch = [{"prompt": question, "schema": TABLES} for question in QUESTIONS for _ in range(2)]
        texts = [result.text for result in expert.generate_batch(batch, **GREEDY)]
        assert texts == [text for text in first for _ in range(2)]
    with Expert.load(EXPERTS / f"{name}.expert", base=real_base, **options) as expert:
        assert answers(expert, reversed(QUESTIONS)) == first[::-1]

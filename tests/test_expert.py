"""Loading an expert and asking it, on a tiny Llama with random weights."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from hivellm_lite import (
    BaseNotFoundError,
    ContextLengthError,
    Expert,
    InferenceError,
    LoadError,
)
from hivellm_lite.inference.opening import sessions

from .support.devices import tolerance
from .support.packages import all_but_fresh
from .support.paths import FIXTURES

pytestmark = pytest.mark.usefixtures("nothing_is_left")

OPTIONS = {"n_ctx": 256, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 12, "stop": []}


def test_greedy_answers_repeat_and_streaming_gives_the_same_text(expert):
    result = expert.generate("Hello", **GREEDY)
    assert result.completion_tokens == 12
    assert result.finish_reason == "length"
    assert result.expert == "tiny@0.3.0"
    stream = expert.generate_stream("Hello", **GREEDY)
    assert "".join(stream) == result.text == stream.result.text


def test_the_adapter_and_its_scale_change_the_answer(expert):
    scores = [
        expert.score("Hello", " world", adapter_scale=scale)[0].logprob for scale in (0, 0.5, 1.0)
    ]
    assert len(set(scores)) == 3


def test_a_seed_fixes_the_draws(expert):
    options = {"temperature": 1.5, "max_tokens": 12, "stop": []}
    first = expert.generate("Hello", seed=1, **options)
    assert first.seed == 1
    assert expert.generate("Hello", seed=1, **options).text == first.text
    others = {expert.generate("Hello", seed=seed, **options).text for seed in range(2, 6)}
    assert others != {first.text}
    drawn = expert.generate("Hello", **options)
    assert expert.generate("Hello", seed=drawn.seed, **options).text == drawn.text


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.0, "top_k": 1},
        {"temperature": 1.0, "top_p": 1e-6, "top_k": 0},
        {"temperature": 1.0, "min_p": 1.0, "top_k": 0, "top_p": 1.0},
    ],
)
def test_a_filter_that_leaves_one_token_is_greedy(expert, options):
    greedy = expert.generate("Hello", **GREEDY).text
    assert expert.generate("Hello", max_tokens=12, stop=[], seed=5, **options).text == greedy


def test_the_repetition_penalty_sees_the_prompt(expert):
    plain = expert.generate("Hello", **GREEDY)
    penalised = expert.generate("Hello", repetition_penalty=50.0, **GREEDY)
    assert penalised.text != plain.text


def test_a_second_question_computes_only_what_is_new(expert):
    first = expert.generate("Hello", **GREEDY)
    assert first.cached_prompt_tokens == 0
    second = expert.generate("Hello", **GREEDY)
    assert second.cached_prompt_tokens == all_but_fresh(second.prompt_tokens)
    assert second.text == first.text
    other = expert.generate("Hello", adapter_scale=0.5, **GREEDY)
    assert other.cached_prompt_tokens == 0


def test_closing_a_stream_stops_it_and_keeps_what_came(expert):
    with expert.generate_stream("Hello", temperature=0.0, max_tokens=100, stop=[]) as stream:
        pieces = [next(stream), next(stream)]
    assert stream.result.finish_reason == "cancelled"
    assert stream.result.text == "".join(pieces)
    assert stream.result.completion_tokens < 100
    assert list(stream) == []
    assert expert.generate("Hello", **GREEDY).finish_reason == "length"


def test_the_result_is_the_streams_return_value(expert):
    def answer():
        return (yield from expert.generate_stream("Hello", **GREEDY))

    def caller():
        results.append((yield from answer()))

    results: list = []
    text = "".join(caller())
    assert results[0].text == text


def test_interleaved_streams_of_two_experts_on_one_base_do_not_mix(tiny_package, tiny_base):
    a = Expert.load(tiny_package("a"), base=tiny_base, **OPTIONS)
    b = Expert.load(tiny_package("b", adapter="rslora"), base=tiny_base, **OPTIONS)
    with a, b:
        assert len(sessions) == 1
        alone = [e.generate(q, **GREEDY).text for e, q in ((a, "one"), (b, "two"))]
        assert alone[0] != alone[1]
        streams = a.generate_stream("one", **GREEDY), b.generate_stream("two", **GREEDY)
        for stream in streams:
            next(stream)
        for stream in reversed(streams):
            list(stream)
        assert [stream.result.text for stream in streams] == alone
    assert sessions == {}


def test_threads_may_share_an_expert(expert):
    expected = {word: expert.generate(word, **GREEDY).text for word in ("one", "two", "three")}
    found: dict[str, str] = {}

    def ask(word: str) -> None:
        found[word] = expert.generate(word, **GREEDY).text

    threads = [threading.Thread(target=ask, args=(word,)) for word in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_score_agrees_with_greedy_generation(expert):
    text = expert.generate("Hello", temperature=0.0, max_tokens=8, stop=[]).text
    scores = expert.score("Hello", text)
    assert all(score.logprob <= 0.0 for score in scores)
    assert all(score.logprob <= score.top_logprob for score in scores)
    assert "".join(score.text for score in scores) == text


def test_long_completions_are_scored_as_short_ones(tiny_package, tiny_base):
    exact = {"kv_type": "f32", "flash_attention": False}
    expert = Expert.load(tiny_package(), base=tiny_base, **OPTIONS, **exact)
    text = "to be or not to be " * 8
    n_outputs = expert.session.scheduler.kv.context.n_outputs
    with expert:
        whole = expert.score("Hello", text)
        head = expert.score("Hello", "".join(score.text for score in whole[:5]))
    assert len(whole) > n_outputs
    for one, other in zip(whole, head, strict=False):
        assert one.token == other.token
        assert one.logprob == pytest.approx(other.logprob, abs=tolerance(1e-4))


def test_manifest_values_are_defaults_and_arguments_win(tiny_package, tiny_base):
    package = tiny_package(training={"decoding": {"max_tokens": 3, "temperature": 0.0}})
    with Expert.load(package, base=tiny_base, **OPTIONS) as expert:
        assert expert.generate("Hello").completion_tokens == 3
        assert expert.generate("Hello", max_tokens=5).completion_tokens == 5


def test_a_stop_sequence_of_the_caller_ends_the_answer(expert):
    text = expert.generate("Hello", **GREEDY).text
    stop = text[4:6]
    result = expert.generate("Hello", **{**GREEDY, "stop": stop})
    assert result.text == text[: text.index(stop)]
    assert (result.finish_reason, result.stop_sequence) == ("stop", stop)


def test_messages_replace_prompt_and_system_message(expert):
    from_parts = expert.tokenize_prompt("Hi", system="Be brief.")
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert expert.tokenize_prompt(messages=messages) == from_parts
    with_schema = expert.tokenize_prompt("Hi", schema="CREATE TABLE t")
    assert with_schema != from_parts
    asked = [{"role": "user", "content": "Hi"}]
    assert expert.tokenize_prompt(messages=asked, schema="CREATE TABLE t") == with_schema


def test_control_tokens_in_a_question_are_text(expert):
    model = expert.session.model
    end = model.special_token("<|im_end|>")
    assert end is not None
    plain = expert.tokenize_prompt("Hi")
    attacked = expert.tokenize_prompt("Hi<|im_end|>")
    assert attacked.count(end) == plain.count(end)
    assert len(attacked) > len(plain) + 3


def test_the_thought_is_prefilled_only_for_models_that_think(expert):
    assert expert.tokenize_prompt("Hi") == expert.tokenize_prompt("Hi", thinking=True)


def test_a_qwen_thinks_only_when_asked_and_composes_characters(tmp_path, tiny_package):
    from hivellm_lite.converters.base import convert_base

    folder = shutil.copytree(FIXTURES / "models" / "tiny-qwen3", tmp_path / "tiny-qwen3")
    template = folder / "chat_template.jinja"
    thought = "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
    template.write_text(template.read_text() + thought)  # as Qwen3's own
    base = tmp_path / "tiny-qwen3.gguf"
    convert_base(folder, base, quant="f32")
    package = tiny_package(model="tiny-qwen3")
    with Expert.load(package, base=base, **OPTIONS) as expert:
        think = expert.session.model.special_token("<think>")
        assert think is not None
        assert think in expert.tokenize_prompt("Hi")
        assert think not in expert.tokenize_prompt("Hi", thinking=True)
        assert expert.tokenize_prompt("cafe\u0301") == expert.tokenize_prompt("caf\u00e9")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "either a prompt or messages"),
        ({"prompt": "a", "messages": [{"role": "user", "content": "a"}]}, "either"),
        ({"messages": [{"role": "system", "content": "a"}], "schema": "s"}, "messages begin"),
        ({"prompt": "a", "top_k": 1.5}, "top_k=1.5"),
        ({"prompt": "a", "top_k": 1 << 40}, "top_k="),
        ({"prompt": "a", "adapter_scale": float("nan")}, "adapter_scale=nan"),
        ({"prompt": "a", "schema": "s", "system": "s"}, "system replaces schema"),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens=0"),
        ({"prompt": "a", "seed": -1}, "seed=-1"),
        ({"prompt": "a", "temperature": -1}, "temperature=-1"),
        ({"prompt": "a", "template": "llama2"}, "template='llama2'"),
    ],
)
def test_wrong_arguments_are_refused_by_name(expert, options, problem):
    with pytest.raises(ValueError, match=problem):
        expert.generate(**options)


def test_a_prompt_longer_than_the_context_is_refused_before_decoding(expert):
    with pytest.raises(ContextLengthError, match=r"leaves no room.*\n.*n_ctx=512"):
        expert.generate("word " * 100)
    with pytest.raises(ContextLengthError, match="Shorten it; this model was trained on 512"):
        expert.generate("word " * 3000)
    with pytest.raises(ContextLengthError):
        expert.score("Hello", "word " * 300)
    assert expert.session.scheduler.kv.streams[0].tokens == []


def test_the_end_of_the_context_ends_the_answer(expert):
    result = expert.generate("word " * 60, temperature=0.0, max_tokens=1000, stop=[])
    assert result.finish_reason in ("length", "stop")
    assert result.prompt_tokens + result.completion_tokens <= 256


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"n_ctx": 0}, "n_ctx=0"),
        ({"n_threads": 0}, "n_threads=0"),
        ({"kv_type": "q3"}, "kv_type='q3'"),
        ({"kv_type": "q8_0", "flash_attention": False}, "needs flash attention"),
    ],
)
def test_context_options_out_of_range_are_refused(tiny_package, tiny_base, options, problem):
    with pytest.raises(ValueError, match=problem):
        Expert.load(tiny_package(), base=tiny_base, **options)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "metal"])
def test_a_device_that_is_not_there_is_refused_with_what_there_is(tiny_package, tiny_base, device):
    with pytest.raises(LoadError, match=f"device '{device}' is not there: this llama.cpp has CPU"):
        Expert.load(tiny_package(), base=tiny_base, device=device)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cpu:1"])
def test_an_unknown_device_is_refused(tiny_package, tiny_base, device):
    with pytest.raises(LoadError, match="unknown device"):
        Expert.load(tiny_package(), base=tiny_base, device=device)


def test_the_cpu_can_be_asked_for(tiny_package, tiny_base):
    with Expert.load(tiny_package(), base=tiny_base, device="cpu", **OPTIONS) as expert:
        assert expert.generate("Hello", **GREEDY).completion_tokens == 12


def test_a_closed_expert_says_so(expert):
    expert.close()
    expert.close()
    assert "closed" in repr(expert)
    with pytest.raises(InferenceError, match=r"tiny@0\.3\.0 was closed"):
        expert.generate("Hello")


def test_one_expert_stays_usable_when_another_on_its_base_is_closed(tiny_package, tiny_base):
    a = Expert.load(tiny_package("a"), base=tiny_base, **OPTIONS)
    with Expert.load(tiny_package("b", adapter="rslora"), base=tiny_base, **OPTIONS) as b:
        expected = b.generate("Hello", **GREEDY).text
        a.generate("Hello", **GREEDY)
        a.close()
        assert b.generate("Hello", **GREEDY).text == expected


def test_a_file_that_is_no_model_is_a_load_error(tiny_package, tmp_path):
    fake = tmp_path / "fake.gguf"
    fake.write_bytes(b"not a model")
    with pytest.raises(LoadError, match=r"fake\.gguf"):
        Expert.load(tiny_package(), base=fake)


def test_a_truncated_base_is_a_load_error(tiny_package, tiny_base, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(Path(tiny_base).read_bytes()[:-5000])
    with pytest.raises(LoadError, match=r"cut\.gguf"):
        Expert.load(tiny_package(), base=cut)


def test_a_missing_base_lists_where_it_was_looked_for(tiny_package, home, monkeypatch, tmp_path):
    monkeypatch.setenv("HIVELLM_MODELS", str(tmp_path / "models"))
    with pytest.raises(BaseNotFoundError) as caught:
        Expert.load(tiny_package())
    message = str(caught.value)
    assert "'tiny-base'" in message.splitlines()[0]
    assert str(tmp_path / "models") in message
    assert str(home / "models") in message
    assert "--base" in message

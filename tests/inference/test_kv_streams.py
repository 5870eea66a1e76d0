"""What is kept of the KV cache: across experts, prompts, contexts and processes."""

from __future__ import annotations

import json

import pytest

from hivellm_lite import Expert, InferenceError, LoadError
from hivellm_lite.expert import loaded_of
from hivellm_lite.inference.kv_files import read_kv_file, write_kv_file
from hivellm_lite.loading.saved_state import state_identity

from ..support.packages import all_but_fresh

OPTIONS = {"n_ctx": 512, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 6, "stop": []}
SCHEMAS = ["CREATE TABLE users (id INT); " * 6, "A graph of films and actors, " * 6]


@pytest.fixture
def pair(tiny_package, tiny_base):
    a = Expert.load(tiny_package("a"), base=tiny_base, **OPTIONS)
    b = Expert.load(tiny_package("b", adapter="rslora"), base=tiny_base, **OPTIONS)
    with a, b:
        yield a, b


def kv(expert):
    return expert.session.scheduler.kv


def saved(expert, file):
    """Tokens and data of what an expert saves."""
    expert.save_state(file)
    return read_kv_file(file, state_identity(loaded_of(expert)))


def ask(expert, schema=SCHEMAS[0], **options):
    return expert.generate("Hello", schema=schema, **{**GREEDY, **options})


def test_each_expert_finds_its_prefix_again_after_another_has_answered(pair):
    first = [ask(expert) for expert in pair]
    assert [result.cached_prompt_tokens for result in first] == [0, 0]
    for _ in range(2):
        for expert, before in zip(pair, first, strict=True):
            again = ask(expert)
            assert again.cached_prompt_tokens == all_but_fresh(again.prompt_tokens)
            assert again.text == before.text
    assert kv(pair[0]).counters.restored >= 3
    assert len(kv(pair[0]).streams) == 1


def test_several_prefixes_of_one_expert_are_kept(pair):
    a, _ = pair
    first = [ask(a, schema) for schema in SCHEMAS]
    for schema, before in zip(SCHEMAS, first, strict=True):
        again = ask(a, schema)
        assert again.cached_prompt_tokens == all_but_fresh(again.prompt_tokens)
        assert again.text == before.text


def test_nothing_is_taken_from_another_expert_or_scale(pair):
    a, b = pair
    ask(a)
    assert ask(b).cached_prompt_tokens == 0
    assert ask(a, adapter_scale=0.5).cached_prompt_tokens == 0
    assert ask(a, adapter_scale=0).cached_prompt_tokens == 0


def test_what_is_parked_is_bounded_and_the_oldest_goes_first(tiny_package, tiny_base):
    probe = Expert.load(tiny_package("probe"), base=tiny_base, **OPTIONS)
    with probe:
        ask(probe)
        ask(probe, SCHEMAS[1])
        size = kv(probe).counters.parked_bytes
    assert size > 0
    limited = Expert.load(
        tiny_package("a"), base=tiny_base, parked_bytes=int(size * 2.5), **OPTIONS
    )
    with limited:
        schemas = [f"{name} " * 30 for name in ("red", "green", "blue", "white", "black")]
        for schema in schemas:
            ask(limited, schema)
        assert kv(limited).counters.parked_bytes <= size * 2.5
        assert kv(limited).counters.dropped > 0
        assert ask(limited, schemas[0]).cached_prompt_tokens < 50
        assert ask(limited, schemas[-1]).cached_prompt_tokens > 50


def test_nothing_is_parked_where_that_is_switched_off(tiny_package, tiny_base):
    with Expert.load(tiny_package(), base=tiny_base, parked_bytes=0, **OPTIONS) as expert:
        for _ in range(2):
            for schema in SCHEMAS:
                assert ask(expert, schema).cached_prompt_tokens < 80
        assert kv(expert).parked == []


def test_a_parked_prompt_that_is_longer_than_the_streams_of_now_stays_parked(pair):
    a, b = pair
    long = ask(a, SCHEMAS[0] * 3)
    ask(b)  # the long prompt is parked
    cache = kv(a)
    a.session.scheduler.call(lambda: cache.resize(3, 256))
    assert max(len(parked.tokens) for parked in cache.parked) > cache.context.n_ctx
    short = ask(a)  # begins as the long one does
    assert short.cached_prompt_tokens == 0
    assert len(cache.streams) == 3
    again = ask(a, SCHEMAS[0] * 3)  # the streams become longer, and it is found
    assert again.text == long.text
    assert again.cached_prompt_tokens == all_but_fresh(again.prompt_tokens)


def test_a_batch_leaves_the_warm_prefix_warm(pair):
    a, b = pair
    before = ask(a)
    b.generate_batch(["one", "two", "three"], **GREEDY)
    assert len(kv(a).streams) == 3
    again = ask(a)
    assert again.cached_prompt_tokens == all_but_fresh(again.prompt_tokens)
    assert again.text == before.text


def test_closing_an_expert_drops_what_it_computed(pair):
    a, b = pair
    ask(a)
    ask(b)
    a.close()
    assert all(parked.applied == b.applied() for parked in kv(b).parked)
    assert ask(b).cached_prompt_tokens > 0


class TestStates:
    def test_go_to_disk_and_come_back_in_another_process_of_loading(
        self, tiny_package, tiny_base, tmp_path
    ):
        package, file = tiny_package("a"), tmp_path / "warm.kv"
        with Expert.load(package, base=tiny_base, **OPTIONS) as expert:
            expected = ask(expert)
            n = expert.save_state(file)
        assert n >= expected.prompt_tokens
        assert [path.name for path in tmp_path.glob("warm*")] == ["warm.kv"]
        with Expert.load(package, base=tiny_base, **OPTIONS) as expert:
            assert expert.load_state(file) == n
            result = ask(expert)
            assert result.cached_prompt_tokens == all_but_fresh(result.prompt_tokens)
            assert result.text == expected.text

    def test_are_refused_for_another_expert_base_or_kv_type(
        self, tiny_package, tiny_base, tmp_path
    ):
        file = tmp_path / "warm.kv"
        with Expert.load(tiny_package("a"), base=tiny_base, **OPTIONS) as expert:
            ask(expert)
            expert.save_state(file)
        with (
            Expert.load(tiny_package("b", adapter="rslora"), base=tiny_base, **OPTIONS) as other,
            pytest.raises(LoadError, match=r"(?s)belongs to something else.*expert: 'a@0\.3\.0'"),
        ):
            other.load_state(file)
        with (
            Expert.load(tiny_package("a"), base=tiny_base, kv_type="f32", **OPTIONS) as other,
            pytest.raises(LoadError, match="kv_type: 'f16' there, 'f32' here"),
        ):
            other.load_state(file)

    @pytest.mark.parametrize(
        ("damage", "problem"),
        [
            (lambda data: b"", "no saved state"),
            (lambda data: b"GGUF" + data, "no saved state"),
            (lambda data: data[:40], "not JSON"),
            (lambda data: data[:-1], "does not match its digest"),
            (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "does not match its digest"),
            (lambda data: data[:11] + b"\xff" * 8 + data[19:], "the header has"),
            (lambda data: data.replace(b'"tokens":', b'"tokenz":', 1), "no list of numbers"),
        ],
    )
    def test_that_are_damaged_are_refused(self, pair, tmp_path, damage, problem):
        a, _ = pair
        ask(a)
        file = tmp_path / "warm.kv"
        a.save_state(file)
        file.write_bytes(damage(file.read_bytes()))
        with pytest.raises(LoadError, match=problem):
            a.load_state(file)
        assert ask(a).cached_prompt_tokens > 0

    def test_whose_tokens_do_not_fit_the_data_are_refused(self, pair, tmp_path):
        a, _ = pair
        ask(a)
        file = tmp_path / "warm.kv"
        a.save_state(file)
        tokens, data = read_kv_file(file, state_identity(loaded_of(a)))
        write_kv_file(file, state_identity(loaded_of(a)), tokens[:-1], data)
        with pytest.raises(LoadError, match="it is damaged"):
            a.load_state(file)
        write_kv_file(file, state_identity(loaded_of(a)), tokens * 20, data)
        with pytest.raises(LoadError, match=r"does not fit a context of 512\n.*n_ctx="):
            a.load_state(file)

    @pytest.mark.parametrize(
        ("place", "value"),
        [(0, 3), (0, 2**31 - 1), (1, -1), (1, 2**31 - 1), (-3, 2**31 - 1), (-3, 0), (2, 2), (2, 0)],
    )
    def test_whose_cells_lie_are_refused_and_the_expert_answers(self, pair, tmp_path, place, value):
        """``place``: a word, from the end of the cells if it is negative."""
        a, _ = pair
        before = ask(a)
        tokens, data = saved(a, tmp_path / "warm.kv")
        words = bytearray(data)
        offset = 4 * (place if place >= 0 else 1 + 3 * len(tokens) + place)
        words[offset : offset + 4] = value.to_bytes(4, "little", signed=True)
        write_kv_file(tmp_path / "warm.kv", state_identity(loaded_of(a)), tokens, bytes(words))
        with pytest.raises(LoadError, match="it is damaged"):
            a.load_state(tmp_path / "warm.kv")
        assert [ask(a).text for _ in range(5)] == [before.text] * 5

    def test_whose_tensors_lie_are_refused_and_the_expert_answers(self, pair, tmp_path):
        a, _ = pair
        before = ask(a)
        tokens, data = saved(a, tmp_path / "warm.kv")
        tensors = 4 * (1 + 3 * len(tokens))
        damaged = [data[:-1], data + bytes(1), data[:tensors], data[: tensors + 6], data[:2], b""]
        for offset, width in ((0, 4), (4, 4), (8, 4), (12, 8)):
            for value in (0, 1, 2, 3, 2 ** (8 * width) - 1):
                start = tensors + offset
                changed = data[:start] + value.to_bytes(width, "little") + data[start + width :]
                damaged += [changed] if changed != data else []
        for one in damaged:
            write_kv_file(tmp_path / "warm.kv", state_identity(loaded_of(a)), tokens, one)
            with pytest.raises((LoadError, InferenceError), match=r"damaged|refuses"):
                a.load_state(tmp_path / "warm.kv")
            assert before.text.startswith(ask(a, max_tokens=1).text)
        assert ask(a).text == before.text

    def test_of_enormous_size_are_refused_before_they_are_read(self, pair, tmp_path):
        a, _ = pair
        ask(a)
        file = tmp_path / "warm.kv"
        tokens, _ = saved(a, file)
        with file.open("r+b") as sparse:
            sparse.truncate(40 << 30)
        with pytest.raises(LoadError, match="the file is damaged"):
            a.load_state(file)
        header = {**state_identity(loaded_of(a)), "format": 1, "tokens": tokens, "bytes": 40 << 30}
        text = json.dumps(header).encode()
        with file.open("wb") as sparse:
            sparse.write(b"HIVELLM-KV\n" + len(text).to_bytes(8, "little") + text)
            sparse.truncate(sparse.tell() + (40 << 30))
        with pytest.raises(LoadError, match=r"(?s)42950 MB cannot be held.*parked_bytes"):
            a.load_state(file)
        assert ask(a).cached_prompt_tokens > 0

    def test_are_not_there_before_anything_was_asked(self, pair, tmp_path):
        with pytest.raises(InferenceError, match="nothing of a@0"):
            pair[0].save_state(tmp_path / "warm.kv")
        with pytest.raises(LoadError, match="cannot be read"):
            pair[0].load_state(tmp_path / "none.kv")


@pytest.mark.parametrize("model", ["tiny-gemma3", "tiny-olmo3", "tiny-qwen3_5", "tiny-lfm2"])
def test_a_model_whose_memory_cannot_be_copied_computes_again_and_answers_the_same(
    model, tiny_package, tmp_path
):
    """Some layers have a sliding window, or are recurrent."""
    from hivellm_lite.converters.base import convert_base

    from ..support.paths import FIXTURES

    base = tmp_path / f"{model}.gguf"
    convert_base(FIXTURES / "models" / model, base, quant="f32")
    package = tiny_package("a", adapter="plain", model=model)
    with Expert.load(package, base=base, **OPTIONS) as expert:
        assert expert.session.model.sliding_window or not expert.session.model.cuts_back
        alone = [ask(expert, schema).text for schema in SCHEMAS]
        assert [ask(expert, schema).text for schema in SCHEMAS] == alone
        assert kv(expert).parked == []
        prompts = [{"prompt": "Hello", "schema": schema} for schema in SCHEMAS * 3]
        assert [r.text for r in expert.generate_batch(prompts, **GREEDY)] == alone * 3


def test_a_recurrent_model_is_computed_from_its_beginning_and_survives_a_cancelled_answer(
    tiny_package, tmp_path
):
    from hivellm_lite.converters.base import convert_base

    from ..support.paths import FIXTURES

    base = tmp_path / "base.gguf"
    convert_base(FIXTURES / "models" / "tiny-granite4-hybrid", base, quant="f32")
    package = tiny_package("a", adapter="plain", model="tiny-granite4-hybrid")
    with Expert.load(package, base=base, **OPTIONS) as expert:
        first = ask(expert)
        stream = expert.generate_stream("Hello", schema=SCHEMAS[1], **{**GREEDY, "max_tokens": 50})
        next(stream)
        stream.close()
        again = ask(expert)
        assert (again.text, again.cached_prompt_tokens) == (first.text, 0)
        with pytest.raises(InferenceError, match="nothing of a@0"):
            expert.save_state(tmp_path / "warm.kv")

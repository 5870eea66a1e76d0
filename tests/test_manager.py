"""Many experts by name: sharing, limits, eviction, blending, routing, on a tiny Llama."""

from __future__ import annotations

import asyncio
import threading

import pytest

from hivellm_lite import (
    Expert,
    ExpertManager,
    InferenceError,
    LoadError,
    OutOfMemoryError,
)
from hivellm_lite.inference.opening import models
from hivellm_lite.manager import registry_of

from .support.devices import tolerance

pytestmark = pytest.mark.usefixtures("nothing_is_left")

OPTIONS = {"n_ctx": 256, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 8, "stop": []}


@pytest.fixture
def make(tiny_base):
    managers = []

    def new(**options) -> ExpertManager:
        managers.append(ExpertManager(**{"base": tiny_base, **OPTIONS, **options}))
        return managers[-1]

    yield new
    for manager in managers:
        manager.close()


@pytest.fixture
def packages(tiny_package):
    return {
        "a": tiny_package("a"),
        "b": tiny_package("b", adapter="rslora"),
        "c": tiny_package("c", adapter="patterns"),
    }


@pytest.fixture
def manager(make, packages):
    loaded = make()
    for name, path in packages.items():
        loaded.load_expert(name, path)
    return loaded


def states(manager):
    return {status.name: status.state for status in manager.list_loaded_experts()}


def bases(manager):
    return manager.stats()["bases"]


class TestLoading:
    def test_experts_on_one_base_share_it(self, manager):
        lora = [s.name for s in manager.list_loaded_experts() if s.mode != "variant"]
        assert len(lora) >= 2
        assert len({id(registry_of(manager).entry(name).expert.session) for name in lora}) == 1

    def test_each_answers_as_it_does_alone(self, manager, packages, tiny_base):
        for name, path in packages.items():
            with Expert.load(path, base=tiny_base, **OPTIONS) as alone:
                expected = alone.generate("Hello", **GREEDY).text
            assert manager.generate(name, "Hello", **GREEDY).text == expected

    def test_the_list_tells_what_is_loaded_last_used_first(self, manager):
        manager.generate("a", "Hello", **GREEDY)
        first = manager.list_loaded_experts()[0]
        assert (first.name, first.expert, first.version) == ("a", "a", "0.3.0")
        assert (first.uses, first.state, first.mode) == (1, "resident", "lora")
        assert first.base == "tiny-llama.gguf"
        assert first.memory > 0
        assert first.last_used >= first.loaded_at

    def test_a_name_that_is_not_loaded_is_an_error_that_lists_the_others(self, manager):
        for ask in (manager.generate, manager.generate_stream, manager.unload_expert):
            with pytest.raises(InferenceError, match=r"no expert named 'x'.*\nLoaded: a, b, c"):
                ask("x") if ask == manager.unload_expert else ask("x", "Hello")

    def test_a_name_is_taken_once(self, manager, packages):
        with pytest.raises(ValueError, match="named 'a' is loaded already"):
            manager.load_expert("a", packages["b"])
        for name in ("auto", "base", ""):
            with pytest.raises(ValueError, match="cannot be an expert's name"):
                manager.load_expert(name, packages["b"])

    def test_a_package_that_cannot_be_loaded_leaves_no_trace(self, manager, tmp_path):
        with pytest.raises(LoadError):
            manager.load_expert("x", tmp_path / "none.expert")
        assert "x" not in states(manager)
        manager.load_expert("x", registry_of(manager).entry("a").path)

    def test_unloading_the_last_expert_frees_the_base(self, manager):
        for name in ("a", "b", "c"):
            manager.unload_expert(name)
        assert models == {}
        with pytest.raises(InferenceError, match="Loaded: none"):
            manager.generate("a", "Hello")

    def test_the_base_stays_where_that_is_asked(self, make, packages):
        manager = make(keep_base=True)
        manager.load_expert("a", packages["a"])
        manager.unload_expert("a")
        assert len(models) == 1
        manager.close()
        assert models == {}

    def test_two_bases_live_side_by_side(self, make, packages, tiny_package, tmp_path):
        from hivellm_lite.converters.base import convert_base

        from .support.paths import FIXTURES

        other = tmp_path / "tiny-qwen3.gguf"
        convert_base(FIXTURES / "models" / "tiny-qwen3", other, quant="f32")
        manager = make()
        manager.load_expert("a", packages["a"])
        manager.load_expert("q", tiny_package("q", model="tiny-qwen3"), base=other)
        assert len(models) == 2
        for name in ("a", "q", "a"):
            assert manager.generate(name, "Hello", **GREEDY).completion_tokens > 0

    def test_a_closed_manager_says_so(self, manager):
        manager.close()
        manager.close()
        assert "closed" in repr(manager)
        with pytest.raises(InferenceError, match="manager was closed"):
            manager.generate("a", "Hello")


class TestConstraints:
    def test_a_required_expert_comes_first(self, make, tiny_package, packages):
        manager = make()
        needy = tiny_package("needy", constraints={"requires": ["a@>=0.3"]})
        with pytest.raises(LoadError, match="requires"):
            manager.load_expert("needy", needy)
        manager.load_expert("a", packages["a"])
        manager.load_expert("needy", needy)
        with pytest.raises(LoadError, match=r"required by needy@0\.3\.0"):
            manager.unload_expert("a")
        manager.unload_expert("a", force=True)
        assert list(states(manager)) == ["needy"]

    def test_incompatible_experts_are_not_loaded_together(self, make, tiny_package, packages):
        manager = make()
        manager.load_expert("a", packages["a"])
        with pytest.raises(LoadError, match="incompatible"):
            manager.load_expert("x", tiny_package("x", constraints={"incompatible_with": ["a"]}))


class TestLimits:
    def test_the_least_recently_used_is_evicted_and_comes_back_by_itself(self, make, packages):
        manager = make(max_loaded_experts=2)
        for name, path in packages.items():
            manager.load_expert(name, path)
        assert states(manager) == {"c": "resident", "b": "resident", "a": "evicted"}
        expected = manager.generate("b", "Hello", **GREEDY).text
        manager.generate("a", "Hello", **GREEDY)
        assert states(manager) == {"a": "resident", "b": "resident", "c": "evicted"}
        manager.generate("c", "Hello", **GREEDY)
        assert manager.generate("b", "Hello", **GREEDY).text == expected
        counters = manager.stats()["experts"]
        assert (counters["evictions"], counters["reloads"]) == (4, 3)
        assert [s.memory for s in manager.list_loaded_experts() if s.state == "evicted"] == [0]

    def test_an_expert_in_use_is_not_evicted(self, make, packages):
        manager = make(max_loaded_experts=1)
        manager.load_expert("a", packages["a"])
        whole = manager.generate("a", "Hello", **GREEDY).text
        stream = manager.generate_stream("a", "Hello", **GREEDY)
        begun = next(stream)
        manager.load_expert("b", packages["b"])
        assert manager.generate("b", "Hello", **GREEDY).completion_tokens == 8
        assert begun + "".join(stream) == whole
        assert sorted(states(manager).values()) == ["evicted", "resident"]

    def test_memory_is_a_limit_too(self, make, packages):
        probe = make()
        probe.load_expert("a", packages["a"])
        one = probe.stats()["memory"]
        probe.close()
        manager = make(max_memory=one + 10)
        manager.load_expert("a", packages["a"])
        manager.load_expert("b", packages["b"])
        assert states(manager) == {"b": "resident", "a": "evicted"}
        small = make(max_memory=one - 10)
        with pytest.raises(OutOfMemoryError, match=r"take \d+ MB; max_memory allows"):
            small.load_expert("a", packages["a"])
        assert small.list_loaded_experts() == []

    def test_a_package_that_was_exchanged_is_not_taken_for_the_old_one(
        self, make, packages, tiny_package
    ):
        manager = make(max_loaded_experts=1)
        manager.load_expert("a", packages["a"])
        manager.load_expert("b", packages["b"])
        packages["a"].write_bytes(tiny_package("other").read_bytes())
        with pytest.raises(LoadError, match=r"other@0\.3\.0 is there now, where a@0\.3\.0"):
            manager.generate("a", "Hello", **GREEDY)

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"max_loaded_experts": 0}, "max_loaded_experts=0"),
            ({"max_memory": "lots"}, "'lots' is no amount of memory"),
            ({"max_memory": 0}, "1 byte or more"),
            ({"fallback": "guess"}, "fallback='guess'"),
        ],
    )
    def test_out_of_range_are_refused(self, options, problem):
        with pytest.raises(ValueError, match=problem):
            ExpertManager(**options)


class TestBlending:
    def test_of_one_expert_is_that_expert_at_a_scale(self, manager):
        blended = manager.generate({"a": 0.5}, "Hello", **GREEDY)
        scaled = manager.generate("a", "Hello", adapter_scale=0.5, **GREEDY)
        assert blended.text == scaled.text

    def test_of_an_expert_and_nothing_of_another_is_the_first(self, manager):
        prompts = ["one", "two", "three", "four"]
        for prompt in prompts:
            blended = manager.generate({"a": 1.0, "b": 0.0}, prompt, **GREEDY)
            assert blended.text == manager.generate("a", prompt, **GREEDY).text

    @pytest.mark.parametrize("scale", [0.0, 0.5, -2.0])
    def test_is_multiplied_by_a_scale(self, manager, scale):
        prompts = ["one", "two", "three"]
        blend = {"a": 0.5, "b": 1.0}
        blended = manager.generate_batch(blend, prompts, adapter_scale=scale, **GREEDY)
        other = {name: weight * scale for name, weight in blend.items()}
        expected = manager.generate_batch(other, prompts, **GREEDY)
        assert [one.text for one in blended] == [one.text for one in expected]
        unscaled = manager.generate_batch(blend, prompts, **GREEDY)
        assert [one.text for one in blended] != [one.text for one in unscaled]

    def test_changes_the_answer(self, manager):
        options = {"temperature": 0.0, "max_tokens": 30, "stop": []}
        texts = {
            manager.generate(name, prompt, **options).text
            for prompt in ("one", "two", "three")
            for name in ("a", "b", {"a": 0.5, "b": 0.5})
        }
        assert len(texts) > 6

    def test_refuses_variants_and_other_bases(self, make, packages, tiny_package):
        manager = make()
        manager.load_expert("a", packages["a"])
        manager.load_expert("v", packages["a"], adapter_mode="exact")
        with pytest.raises(InferenceError, match="'v' cannot be blended: it is a variant"):
            manager.generate({"a": 0.5, "v": 0.5}, "Hello")
        manager.load_expert("wide", tiny_package("wide"), n_ctx=512)
        with pytest.raises(InferenceError, match="only experts on one base"):
            manager.generate({"a": 0.5, "wide": 0.5}, "Hello")
        with pytest.raises(ValueError, match="at least one"):
            manager.generate({}, "Hello")

    def test_respects_max_chain(self, make, packages, tiny_package):
        manager = make()
        manager.load_expert("a", packages["a"])
        manager.load_expert("solo", tiny_package("solo", constraints={"max_chain": 1}))
        manager.generate("solo", "Hello", **GREEDY)
        with pytest.raises(InferenceError, match="max_chain"):
            manager.generate({"a": 0.5, "solo": 0.5}, "Hello")


class TestRouting:
    @pytest.fixture
    def routed(self, make, tiny_package):
        manager = make()
        for name, keywords in (("sql", ["table", "sql"]), ("graph", ["graph", "node"])):
            manager.load_expert(
                name, tiny_package(name, routing={"keywords": keywords}, capabilities=[])
            )
        return manager

    def test_the_prompt_chooses_the_expert(self, routed):
        assert routed.generate("auto", "List the nodes of a graph", **GREEDY).expert == (
            "graph@0.3.0"
        )
        assert routed.generate("auto", "Show me the table", **GREEDY).expert == "sql@0.3.0"
        messages = [
            {"role": "user", "content": "a graph"},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": "a table"},
        ]
        assert routed.generate("auto", messages=messages, **GREEDY).expert == "sql@0.3.0"
        assert routed.stats()["experts"]["routed"] == 3

    def test_the_name_that_auto_stands_for_is_told(self, routed):
        assert routed.name_for("Show me the table") == "sql"
        assert routed.name_for(messages=[{"role": "user", "content": "a graph"}]) == "graph"
        assert routed.name_for("Hello") == "base"

    def test_what_fits_no_expert_goes_to_the_base_alone(self, routed):
        result = routed.generate("auto", "Hello", **GREEDY)
        assert result.expert == "tiny-base@base"
        plain = routed.generate("sql", "Hello", system=None, adapter_scale=0, **GREEDY)
        assert result.prompt_tokens <= plain.prompt_tokens
        stream = routed.generate_stream("auto", "Hello", **GREEDY)
        assert "".join(stream) == result.text

    def test_a_variants_base_is_asked_without_the_variant(self, make, packages, tiny_base):
        manager = make()
        manager.load_expert("v", packages["a"], adapter_mode="exact")
        result = manager.generate("auto", "Hello", **GREEDY)
        manager.load_expert("a", packages["a"])
        manager.unload_expert("v")
        assert manager.generate("auto", "Hello", **GREEDY).text == result.text

    def test_or_is_an_error_where_that_is_asked(self, make, packages):
        manager = make(fallback="error")
        manager.load_expert("a", packages["a"])
        with pytest.raises(InferenceError, match=r"no expert fits this prompt: .*\nName one of a"):
            manager.generate("auto", "Hello")
        with pytest.raises(InferenceError, match="no expert is loaded"):
            make().generate("auto", "Hello")


class TestScoring:
    def test_a_score_is_that_of_the_expert_alone(self, manager, packages, tiny_base):
        with Expert.load(packages["a"], base=tiny_base, **OPTIONS) as alone:
            expected = alone.score("Hello", " world and more")
        assert manager.score("a", "Hello", " world and more") == expected

    def test_the_base_and_blends_are_scored_too(self, manager):
        names = ["a", "base", {"a": 0.5}, {"a": 1.0}]
        found = [manager.score(name, "Hello", " world", system="")[0].logprob for name in names]
        assert found[0] == pytest.approx(found[3], abs=tolerance(0))
        assert len(set(found[:3])) == 3

    def test_a_completion_must_be_a_text(self, manager):
        with pytest.raises(TypeError, match="completion=3: must be a text"):
            manager.score("a", "Hello", 3)


class TestTogether:
    def test_batches_and_coroutines_go_through_the_manager(self, manager):
        words = ["one", "two", "three"]
        alone = [manager.generate("a", word, **GREEDY).text for word in words]
        assert [r.text for r in manager.generate_batch("a", words, **GREEDY)] == alone

        async def ask():
            one = await manager.agenerate("a", "one", **GREEDY)
            pieces = [piece async for piece in manager.agenerate_stream("a", "two", **GREEDY)]
            batch = await manager.agenerate_batch("a", words, **GREEDY)
            return [one.text, "".join(pieces), batch[2].text]

        assert asyncio.run(ask()) == alone
        assert not any(entry.in_use for entry in registry_of(manager).entries())

    def test_threads_over_more_experts_than_fit_get_their_answers(self, make, packages):
        manager = make(max_loaded_experts=2)
        for name, path in packages.items():
            manager.load_expert(name, path)
        words = ["one", "two", "three", "four"]
        asked = [(name, word) for name in packages for word in words] * 2
        alone = {(n, w): manager.generate(n, w, **GREEDY).text for n, w in asked}
        found, failed = {}, []

        def ask(pairs):
            try:
                for name, word in pairs:
                    found[name, word] = manager.generate(name, word, **GREEDY).text
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=ask, args=(asked[n::4],)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert found == alone
        assert sum(state == "resident" for state in states(manager).values()) <= 2

    def test_the_counters_add_up(self, manager):
        for _ in range(3):
            manager.generate("a", "Hello", **GREEDY)
        (first, *_) = [base for base in bases(manager) if base["requests"]["requests"]]
        assert first["requests"]["finished"] == 3
        assert first["requests"]["generated_tokens"] == 24
        assert first["requests"]["queued"] == first["requests"]["active"] == 0
        assert first["requests"]["cached_prompt_tokens"] > 0
        assert manager.stats()["experts"]["hits"] == 3

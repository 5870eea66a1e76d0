"""A manager's batches, routed prompt by prompt, and the base that answers what fits no expert."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from hivellm_lite import (
    ContextLengthError,
    ExpertManager,
    InferenceError,
    InferenceResult,
    LoadError,
)
from hivellm_lite.gbnf import matcher
from hivellm_lite.manager import registry_of
from hivellm_lite.requests import grammars

pytestmark = pytest.mark.usefixtures("nothing_is_left")

OPTIONS = {"n_ctx": 256, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 6, "stop": []}

PROMPTS = ["a node of a graph", "Hello", "a table", "another graph", "Good evening"]
EXPERTS = ["graph@0.3.0", "tiny-base@base", "sql@0.3.0", "graph@0.3.0", "tiny-base@base"]

ANSWER = 'root ::= "yes" | "no"'
SCHEMA = {"type": "object", "properties": {"id": {"enum": ["a", "b"]}}, "required": ["id"]}


@pytest.fixture
def make(tiny_base, tiny_package):
    """A manager with an expert for tables and one for graphs."""
    managers = []

    def new(**options) -> ExpertManager:
        manager = ExpertManager(**{"base": tiny_base, **OPTIONS, **options})
        managers.append(manager)
        for name, adapter, keywords in (
            ("sql", "plain", ["table", "sql"]),
            ("graph", "rslora", ["graph", "node"]),
        ):
            routing = {"keywords": keywords}
            package = tiny_package(name, adapter=adapter, routing=routing, capabilities=[])
            manager.load_expert(name, package)
        return manager

    yield new
    for manager in managers:
        manager.close()


@pytest.fixture
def manager(make):
    return make()


def ask_sync(manager, *arguments, **options):
    return manager.generate_batch(*arguments, **options)


def ask_async(manager, *arguments, **options):
    return asyncio.run(manager.agenerate_batch(*arguments, **options))


@pytest.fixture(params=[ask_sync, ask_async], ids=["sync", "async"])
def ask(request):
    return request.param


class TestAuto:
    def test_sends_each_prompt_to_its_expert_and_keeps_the_order(self, manager, ask):
        alone = [manager.generate("auto", prompt, **GREEDY) for prompt in PROMPTS]
        together = ask(manager, "auto", PROMPTS, **GREEDY)
        assert [one.expert for one in together] == [one.expert for one in alone] == EXPERTS
        assert [one.text for one in together] == [one.text for one in alone]
        assert manager.stats()["experts"]["routed"] == 2 * len(PROMPTS)

    def test_routes_by_the_last_thing_that_the_user_said(self, manager, ask):
        messages = [
            {"role": "user", "content": "a graph"},
            {"role": "assistant", "content": "a node"},
            {"role": "user", "content": "a table"},
        ]
        (one, other) = ask(manager, "auto", [{"messages": messages}, "a graph"], **GREEDY)
        assert (one.expert, other.expert) == ("sql@0.3.0", "graph@0.3.0")

    def test_counts_seeds_over_the_whole_batch(self, manager, ask):
        prompts = [*PROMPTS, {"prompt": "a table", "seed": 99}]
        answers = ask(manager, "auto", prompts, seed=7, temperature=1.5, max_tokens=6, stop=[])
        assert [one.seed for one in answers] == [7, 8, 9, 10, 11, 99]
        again = manager.generate("sql", "a table", seed=9, temperature=1.5, max_tokens=6, stop=[])
        assert answers[2].text == again.text

    def test_has_the_error_of_each_prompt_in_its_place(self, manager, ask):
        prompts = ["a table", "a graph " * 400, {"prompt": 5}, "Hello", {"prompt": "a", "seed": -1}]
        found = ask(manager, "auto", prompts, return_exceptions=True, **GREEDY)
        kinds = [InferenceResult, ContextLengthError, TypeError, InferenceResult, ValueError]
        assert [type(one) for one in found] == kinds
        assert "prompt=5: must be a text" in str(found[2])

    def test_raises_the_first_error_after_the_others_have_ended(self, manager, ask):
        with pytest.raises(TypeError, match="prompt=5"):
            ask(manager, "auto", [{"prompt": 5}, "a table", {"prompt": "a", "seed": -1}], **GREEDY)
        (base,) = manager.stats()["bases"]
        assert base["requests"]["finished"] == 1

    def test_of_what_fits_no_expert_is_an_error_where_that_is_asked(self, make, ask):
        manager = make(fallback="error")
        found = ask(manager, "auto", ["Hello", "a table"], return_exceptions=True, **GREEDY)
        assert isinstance(found[0], InferenceError)
        assert "no expert fits this prompt" in str(found[0])
        assert found[1].expert == "sql@0.3.0"

    def test_holds_one_expert_after_the_other(self, make, ask):
        manager = make(max_loaded_experts=1)
        answers = ask(manager, "auto", ["a graph", "a table", "a node"], **GREEDY)
        assert [one.expert for one in answers] == ["graph@0.3.0", "sql@0.3.0", "graph@0.3.0"]
        counters = manager.stats()["experts"]
        assert (counters["resident"], counters["evictions"]) == (1, 2)

    def test_of_an_expert_that_cannot_come_back_fails_for_its_prompts_alone(
        self, make, ask, tmp_path
    ):
        manager = make(max_loaded_experts=1)
        (tmp_path / "sql.expert").unlink()
        prompts = ["a table", "a graph", "a table"]
        found = ask(manager, "auto", prompts, return_exceptions=True, **GREEDY)
        assert isinstance(found[0], LoadError)
        assert found[1].expert == "graph@0.3.0"
        assert isinstance(found[2], LoadError)

    def test_needs_an_open_manager_and_a_list(self, manager, ask):
        with pytest.raises(TypeError, match="must be a list of texts or dicts"):
            ask(manager, "auto", "a table")
        assert ask(manager, "auto", []) == []
        manager.close()
        with pytest.raises(InferenceError, match="manager was closed"):
            ask(manager, "auto", ["a table"], return_exceptions=True)


class TestTheBase:
    def test_answers_a_batch(self, manager, ask):
        alone = [manager.generate("base", prompt, **GREEDY) for prompt in PROMPTS]
        together = ask(manager, "base", PROMPTS, **GREEDY)
        assert {one.expert for one in together} == {"tiny-base@base"}
        assert [one.text for one in together] == [one.text for one in alone]

    def test_has_errors_in_their_places(self, manager, ask):
        found = ask(manager, "base", ["Hello", {"grammar": "strict"}], return_exceptions=True)
        assert isinstance(found[0], InferenceResult)
        assert "give either a prompt or messages" in str(found[1])
        with pytest.raises(InferenceError, match="brings no grammar"):
            ask(manager, "base", [{"prompt": "Hello", "grammar": "strict"}])

    @pytest.mark.parametrize("mode", ["auto", "exact"])
    def test_compiles_a_schema_once(self, make, monkeypatch, mode):
        compiled = []

        def compile_grammar(grammar):
            compiled.append(grammar)
            return matcher.compile_grammar(grammar)

        monkeypatch.setattr(grammars, "compile_grammar", compile_grammar)
        manager = make(adapter_mode=mode)
        for name in ("base", "auto", "base"):
            assert manager.generate(name, "Hello", json_schema=SCHEMA, max_tokens=40).text
        manager.generate("graph", "Hello", max_tokens=1)  # the expert that was used last
        manager.generate("base", "Hello", json_schema=SCHEMA, max_tokens=40)
        assert len(compiled) == 1

    def test_is_forgotten_with_its_last_expert(self, manager):
        entry = registry_of(manager).entry("sql")
        base = weakref.ref(registry_of(manager).base_alone(entry, entry.expert))
        other = registry_of(manager).entry("graph")
        assert registry_of(manager).base_alone(other, other.expert) is base()
        del entry, other
        manager.unload_expert("sql")
        assert base() is not None
        manager.unload_expert("graph")
        gc.collect()
        assert base() is None

    def test_is_kept_with_the_base(self, make, tiny_package):
        manager = make(keep_base=True)
        entry = registry_of(manager).entry("sql")
        base = registry_of(manager).base_alone(entry, entry.expert)
        manager.unload_expert("sql")
        manager.unload_expert("graph")
        manager.load_expert("again", tiny_package("again"))
        entry = registry_of(manager).entry("again")
        assert registry_of(manager).base_alone(entry, entry.expert) is base

    def test_of_an_expert_that_is_unloaded_meanwhile_is_not_kept(self, make):
        manager = make(adapter_mode="exact")
        entry = registry_of(manager).entry("sql")
        expert = entry.expert
        session = expert.session
        session.retain()
        try:
            manager.unload_expert("sql")
            with pytest.raises(InferenceError):
                registry_of(manager).base_alone(entry, expert)
        finally:
            session.release()


class TestOptions:
    def test_an_unknown_option_of_an_answer_is_an_error_too(self, manager):
        for name in ("sql", "base", "auto", {"sql": 0.5, "graph": 0.5}):
            with pytest.raises(TypeError, match=r"'temprature'\nDid you mean 'temperature'\?"):
                manager.generate(name, "Hello", temprature=0.5)
        (found,) = manager.generate_batch("sql", [{"promt": "x"}], return_exceptions=True)
        assert "Did you mean 'prompt'?" in str(found)

    def test_a_name_that_is_no_option_is_an_error_that_names_the_nearest(
        self, manager, tiny_package
    ):
        for call in (
            lambda: ExpertManager(n_ctxx=5),
            lambda: manager.load_expert("x", tiny_package("x"), n_ctxx=5),
        ):
            with pytest.raises(TypeError, match=r"keyword argument 'n_ctxx'\nDid you mean 'n_ctx'"):
                call()
        with pytest.raises(TypeError, match=r"argument 'zzz'\nOptions are adapter_mode, base, "):
            ExpertManager(zzz=5)

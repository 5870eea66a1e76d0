"""An expert that is loaded when it is asked for first."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from hivellm_lite import Expert, InferenceError
from hivellm_lite.integrations.experts import LazyExpert


@pytest.fixture
def lazy(tiny_package, tiny_base):
    found = LazyExpert(tiny_package(), {"base": tiny_base, "n_threads": 1})
    yield found
    found.close()


def test_several_threads_get_the_same_expert(lazy):
    with ThreadPoolExecutor(4) as threads:
        experts = [one.result() for one in [threads.submit(lazy.get) for _ in range(4)]]
    assert all(one is experts[0] for one in experts)
    assert asyncio.run(lazy.aget()) is experts[0]


def test_a_coroutine_loads_it(lazy):
    assert asyncio.run(lazy.aget()).generate("Hi", max_tokens=2).completion_tokens == 2


def test_closing_frees_it_and_the_next_question_loads_it_again(lazy):
    first = lazy.get()
    lazy.close()
    with pytest.raises(InferenceError, match="closed"):
        first.generate("Hi")
    assert lazy.get() is not first


def test_an_expert_of_the_caller_stays_open(tiny_package, tiny_base):
    with Expert.load(tiny_package("mine"), base=tiny_base, n_threads=1) as expert:
        lazy = LazyExpert(expert)
        assert lazy.get() is expert
        assert lazy.name.startswith("mine@")
        lazy.close()
        assert expert.generate("Hi", max_tokens=2).completion_tokens == 2


def test_its_name_is_what_was_given(tmp_path):
    assert LazyExpert("sql").name == "sql"
    assert LazyExpert(tmp_path / "a.expert").name == str(tmp_path / "a.expert")


def test_an_unknown_option_of_loading_is_an_error(tiny_package):
    with pytest.raises(TypeError, match="Did you mean 'n_threads'"):
        LazyExpert(tiny_package(), {"n_thread": 1}).get()

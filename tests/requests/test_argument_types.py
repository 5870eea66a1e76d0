"""Arguments of a wrong type are refused by their names, before anything is computed."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

OPTIONS = {"n_ctx": 256, "n_threads": 1}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"prompt": 5}, "prompt=5: must be a text"),
        ({"prompt": ["a"]}, "prompt="),
        ({"prompt": b"a"}, "prompt=b'a'"),
        ({"schema": {"a": 1}}, "schema="),
        ({"system": 1}, "system=1"),
        ({"template": 1}, "template=1"),
        ({"temperature": "0.5"}, "temperature='0.5': must be a number"),
        ({"temperature": True}, "temperature=True"),
        ({"top_k": "4"}, "top_k='4': must be a whole number"),
        ({"top_p": [1]}, "top_p="),
        ({"seed": "x"}, "seed='x'"),
        ({"max_tokens": "10"}, "max_tokens='10'"),
        ({"timeout": "soon"}, "timeout='soon'"),
        ({"stop": 5}, "stop=5"),
        ({"stop": ["a", 5]}, r"stop\[1\]=5"),
        ({"stop": {"a": 1}}, "stop="),
        ({"thinking": "no"}, "thinking='no': must be True or False"),
        ({"allow_unenforced": 1}, "allow_unenforced=1"),
        ({"adapter_scale": "1"}, "adapter_scale='1'"),
        ({"prompt": None, "messages": "hello"}, "messages="),
        ({"prompt": None, "messages": {"role": "user"}}, "messages="),
        ({"prompt": None, "messages": ["hello"]}, r"messages\[0\]='hello'"),
    ],
)
def test_of_generate(expert, options, problem):
    with pytest.raises(TypeError, match=problem):
        expert.generate(**{"prompt": "a", **options})
    assert expert.session.scheduler.counters.requests == 0


@pytest.mark.parametrize("prompts", ["abc", b"abc", {"prompt": "a"}, 5, None])
def test_a_single_prompt_is_no_batch(expert, prompts):
    with pytest.raises(TypeError, match="prompts="):
        expert.generate_batch(prompts)
    with pytest.raises(TypeError, match="prompts="):
        asyncio.run(expert.agenerate_batch(prompts))


def test_the_prompt_of_a_batch_that_is_none_is_named_by_its_place(expert):
    with pytest.raises(TypeError, match=r"prompts\[1\]=5"):
        expert.generate_batch(["a", 5])


def test_a_long_value_is_not_repeated_whole(expert):
    with pytest.raises(TypeError) as caught:
        expert.generate(["x" * 10_000])
    assert len(str(caught.value)) < 200


def test_numbers_of_numpy_and_generators_of_prompts_are_welcome(expert):
    result = expert.generate("a", max_tokens=np.int64(2), temperature=np.float32(0.0), stop=())
    assert result.completion_tokens <= 2
    assert len(expert.generate_batch((one for one in ("a", "b")), max_tokens=2)) == 2


def test_score_names_its_completion(expert):
    with pytest.raises(TypeError, match="completion"):
        expert.score("a", 5)

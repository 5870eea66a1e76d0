"""A request whose logits are not numbers fails alone: nothing of it stays in the KV cache."""

from __future__ import annotations

import pytest

from hivellm_lite import InferenceError

from ..support.devices import tolerance

OPTIONS = {"n_ctx": 256, "n_threads": 1, "max_streams": 4}
GREEDY = {"temperature": 0.0, "max_tokens": 4, "stop": []}
OVERFLOWING = 1e28
"""The adapter's scale with which float32 overflows in the tiny model."""
WORDS = [f"{word} and number {i}" for i in range(6) for word in ("Once", "Then", "Hello")]


def assert_same(scores, others):
    assert [one.token for one in scores] == [one.token for one in others]
    for one, other in zip(scores, others, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=tolerance(0))


def test_a_request_beside_and_after_it_is_answered_as_alone(expert):
    alone = [result.text for result in expert.generate_batch(WORDS, **GREEDY)]
    spoiling = {"prompt": "Hello there " * 5, "adapter_scale": OVERFLOWING}
    first, *others = expert.generate_batch([spoiling, *WORDS], return_exceptions=True, **GREEDY)
    assert isinstance(first, InferenceError)
    assert "not numbers" in str(first)
    assert [result.text for result in others] == alone
    assert [expert.generate(word, **GREEDY).text for word in WORDS] == alone


def test_a_score_leaves_nothing_either(expert):
    before = expert.score("Hello", "there you are")
    with pytest.raises(InferenceError, match="not numbers"):
        expert.score("Hello", "there you are", adapter_scale=OVERFLOWING)
    assert_same(expert.score("Hello again", "there"), expert.score("Hello again", "there"))
    assert_same(expert.score("Hello", "there you are"), before)


def test_a_request_that_runs_meanwhile_goes_on_as_it_was(expert):
    alone = expert.generate("Tell me", temperature=0.0, max_tokens=60, stop=[]).text
    with expert.generate_stream("Tell me", temperature=0.0, max_tokens=60, stop=[]) as stream:
        pieces = [next(stream)]
        with pytest.raises(InferenceError, match="not numbers"):
            expert.generate("Hello there", adapter_scale=OVERFLOWING, **GREEDY)
        pieces += stream
    assert "".join(pieces) == alone

"""Probabilities of tokens, whole and streamed, and changes of logits."""

from __future__ import annotations

from itertools import chain

import pytest

from hivellm_lite.inference.results import AnswerToken
from hivellm_lite.server.logprobs import TokenPieces

from .test_chat import CHAT, SHORT, events

ASK = {**SHORT, "logprobs": True, "top_logprobs": 2}


def test_a_chat_tells_each_token(post, manager):
    (choice,) = post(CHAT, **ASK)["choices"]
    alone = manager.generate("sql", "Hello", temperature=0, max_tokens=8, stop=[], logprobs=2)
    tokens = choice["logprobs"]["content"]
    assert [token["logprob"] for token in tokens] == [one.logprob for one in alone.logprobs]
    assert bytes([*chain.from_iterable(token["bytes"] for token in tokens)]) == b"".join(
        one.data for one in alone.logprobs
    )
    assert all(len(token["top_logprobs"]) == 2 for token in tokens)


def test_a_stream_tells_the_same_tokens(post, call):
    whole = post(CHAT, **ASK)["choices"][0]["logprobs"]["content"]
    chunks = events(call("POST", CHAT, json={**ASK, "stream": True}))
    told = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    assert [*chain.from_iterable(one["content"] for one in told if one)] == whole


def test_without_asking_nothing_is_told(post, call):
    assert post(CHAT, **SHORT)["choices"][0]["logprobs"] is None
    chunks = events(call("POST", CHAT, json={**SHORT, "stream": True}))
    assert all("logprobs" not in chunk["choices"][0] for chunk in chunks)


def test_a_completion_tells_them_in_its_own_form(post, call):
    body = {"model": "sql", "prompt": "Once", "max_tokens": 6, "stop": [], "logprobs": 3}
    body["temperature"] = 0
    told = post("/v1/completions", **body)["choices"][0]["logprobs"]
    assert len(told["tokens"]) == len(told["token_logprobs"]) == len(told["text_offset"])
    assert all(1 <= len(top) <= 3 for top in told["top_logprobs"])
    assert told["text_offset"] == [len("".join(told["tokens"][:n])) for n in range(6)]
    chunks = events(call("POST", "/v1/completions", json={**body, "stream": True}))
    parts = [chunk["choices"][0]["logprobs"] for chunk in chunks]
    for field in told:
        assert [*chain.from_iterable(part[field] for part in parts)] == told[field]


def test_a_bias_changes_the_answer(post):
    first = post(CHAT, **ASK)["choices"][0]["logprobs"]["content"][0]
    other = post(CHAT, **SHORT, logit_bias={"80": 100})
    text = other["choices"][0]["message"]["content"]
    assert len(set(text)) == 1
    assert text[0] != first["token"]


def test_tokens_go_with_the_text_that_they_end_in():
    tokens = [
        AnswerToken(n, data, 0.0, ()) for n, data in enumerate((b"a", b"\xc3", b"\xa9", b"b"))
    ]
    pieces = TokenPieces()
    assert [one.token for one in pieces.take(tokens[:2], "a")] == [0]
    assert [one.token for one in pieces.take(tokens, "é")] == [1, 2]
    assert [one.token for one in pieces.take(tokens, None)] == [3]
    assert pieces.take(tokens, None) == ()


@pytest.mark.parametrize("penalty", ["frequency_penalty", "presence_penalty"])
def test_penalties_are_taken(post, penalty):
    assert post(CHAT, **SHORT, **{penalty: 1.5})["choices"]

"""Which tokens a step computes together, on requests of a tiny model; nothing is decoded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hivellm_lite.engine.virtual_tokens import virtual_tokens
from hivellm_lite.expert import loaded_of
from hivellm_lite.inference.context_streams import Stream
from hivellm_lite.inference.decoding import AnswerDecoding
from hivellm_lite.inference.scheduled import ScheduledRequest
from hivellm_lite.inference.steps import PREFILL_BESIDE, Steps

OPTIONS = {"n_ctx": 512, "n_threads": 1}
GREEDY = {"temperature": 0.0, "max_tokens": 12, "stop": []}
N_BATCH, N_UBATCH = 512, 128


@pytest.fixture
def scheduled(expert):
    """Make requests that have streams of their own."""

    def make(prompts):
        session, made = expert.session, []
        for index, request in enumerate(loaded_of(expert).requests(prompts, **GREEDY)):
            decoding = AnswerDecoding(request, session.model, session.n_ctx)
            made.append(ScheduledRequest(decoding, lambda _: None, stream=Stream(index)))
        return made

    return make


def run(expert, requests, *, on_cpu):
    """Take all steps; for each call of llama.cpp, how many tokens each request has in it."""
    model = expert.session.model
    steps = Steps(model.row_shape, N_BATCH, N_UBATCH, on_cpu)
    logits = np.zeros(model.n_vocab, np.float32)
    logits[model.tokenize("x")[0]] = 1.0
    computed = []
    while unfinished := [one for one in requests if not one.decoding.finished]:
        for pieces in steps.next(unfinished):
            computed.append([len(piece.tokens) for piece in pieces])
            for piece in pieces:
                piece.stream.tokens += piece.tokens
                if piece.is_last:
                    piece.request.steps.append(len(piece.request.decoding.tokens))
                    piece.request.decoding.take(logits)
    return computed


@pytest.mark.parametrize("on_cpu", [True, False])
def test_prompts_are_computed_one_by_one_on_a_cpu_and_together_elsewhere(expert, scheduled, on_cpu):
    decoded = run(expert, scheduled(["one", "two", "three", "four"]), on_cpu=on_cpu)
    together = [lengths for lengths in decoded if len(lengths) > 1]
    assert together
    assert all(max(lengths) == 1 for lengths in together) == on_cpu


@pytest.mark.parametrize("on_cpu", [True, False])
def test_every_token_but_the_last_is_computed_once(expert, scheduled, on_cpu):
    requests = scheduled(["one", "word " * 130])
    decoded = run(expert, requests, on_cpu=on_cpu)
    assert sum(map(sum, decoded)) == sum(len(one.decoding.tokens) - 1 for one in requests)


@pytest.mark.parametrize("on_cpu", [True, False])
def test_virtual_tokens_are_never_computed_beside_tokens(expert, scheduled, on_cpu):
    rows = np.zeros((140, expert.session.model.n_embd), np.float32)
    requests = scheduled(["one", "two", "three"])
    for one, n in zip(requests[:2], (5, 140), strict=True):
        request = one.decoding.request
        prompt = [*virtual_tokens(f"{n:064x}", rows[:n]), *request.prompt]
        longer = dataclasses.replace(request, prompt=prompt)
        one.decoding = AnswerDecoding(longer, expert.session.model, expert.session.n_ctx)
    steps = Steps(expert.session.model.row_shape, N_BATCH, N_UBATCH, on_cpu)
    groups = []
    while asking := [one for one in requests if len(one.stream.tokens) < one.n_prompt]:
        for pieces in steps.next(asking):
            groups.append(pieces)
            assert len({token < 0 for piece in pieces for token in piece.tokens}) == 1
            for piece in pieces:
                piece.stream.tokens += piece.tokens
    assert [one.stream.tokens for one in requests] == [one.decoding.tokens for one in requests]
    assert any(len(pieces) > 1 for pieces in groups) != on_cpu


def test_a_long_prompt_leaves_room_for_answers_beside_it(expert, scheduled):
    answering, asking = scheduled(["one", "word " * 130])
    answering.stream.tokens += answering.decoding.request.prompt
    answering.steps.append(answering.n_prompt)
    answering.decoding.take(np.eye(expert.session.model.n_vocab, dtype=np.float32)[5])
    steps = Steps(expert.session.model.row_shape, N_BATCH, 512, on_cpu=True)
    pieces = [piece for group in steps.next([answering, asking]) for piece in group]
    lengths = {piece.stream.index: len(piece.tokens) for piece in pieces}
    assert lengths[0] == 1
    assert 0 < lengths[1] <= PREFILL_BESIDE

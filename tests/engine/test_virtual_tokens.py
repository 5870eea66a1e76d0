"""Rows of embeddings in lists of tokens."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from hivellm_lite.engine.options import ContextOptions
from hivellm_lite.engine.rows import Row
from hivellm_lite.engine.virtual_tokens import embeddings_of, n_virtual, virtual_tokens
from hivellm_lite.errors import InferenceError

from ..support.devices import tolerance


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


ROWS = np.arange(12, dtype="f4").reshape(3, 4)


def test_equal_soft_prompts_have_equal_tokens_and_others_share_none():
    one, same = (virtual_tokens(digest("a"), ROWS) for _ in range(2))
    other = virtual_tokens(digest("b"), ROWS)
    assert one == same
    assert not set(one) & set(other)
    assert all(token < 0 for token in one + other)


def test_the_lowest_and_the_highest_digest_give_negative_tokens():
    for extreme in ("0" * 64, "f" * 64):
        tokens = virtual_tokens(extreme, ROWS)
        assert len(set(tokens)) == 3
        assert max(tokens) < 0


def test_virtual_tokens_are_counted_at_the_beginning():
    virtual = virtual_tokens(digest("a"), ROWS)
    assert n_virtual([]) == n_virtual([0, 5]) == 0
    assert n_virtual(virtual) == n_virtual([*virtual, 0]) == n_virtual([*virtual, 7, 8]) == 3


def test_virtual_tokens_carry_their_rows():
    tokens = virtual_tokens(digest("a"), ROWS)
    assert np.array_equal(embeddings_of(tokens[1:]), ROWS[1:])
    with pytest.raises(ValueError, match="apart"):
        embeddings_of([*tokens, 4])


def test_a_decode_takes_virtual_tokens_in_the_place_of_tokens(tiny_model):
    from hivellm_lite.engine import Context

    context = Context(tiny_model, ContextOptions(256, kv_type="f32", flash_attention=False))
    rows = np.random.default_rng(0).normal(size=(5, tiny_model.n_embd)).astype("f4")
    tokens = virtual_tokens(digest("a"), rows)
    (end,) = context.decode([Row(0, 0, tokens, 1)])
    together = context.logits(end).copy()
    assert context.n_positions(0) == 5
    context.truncate(0, 0)
    context.decode([Row(0, 0, tokens[:2], 0)])
    (end,) = context.decode([Row(0, 2, tokens[2:], 1)])
    assert np.allclose(context.logits(end), together, atol=tolerance(1e-5))
    context.close()


def test_virtual_tokens_of_several_streams_are_decoded_together(tiny_model):
    from hivellm_lite.engine import Context

    options = ContextOptions(256, kv_type="f32", flash_attention=False)
    context = Context(tiny_model, options, n_streams=2)
    rows = np.random.default_rng(0).normal(size=(9, tiny_model.n_embd)).astype("f4")
    prompts = [virtual_tokens(digest("a"), rows[:5]), virtual_tokens(digest("b"), rows[5:])]
    alone = []
    for stream, tokens in enumerate(prompts):
        (end,) = context.decode([Row(stream, 0, tokens, 1)])
        alone.append(context.logits(end).copy())
        context.truncate(stream, 0)
    ends = context.decode([Row(stream, 0, tokens, 1) for stream, tokens in enumerate(prompts)])
    for end, expected in zip(ends, alone, strict=True):
        assert np.allclose(context.logits(end), expected, atol=tolerance(1e-4))
    context.close()


def test_rows_of_another_width_never_reach_llama_cpp(tiny_model):
    from hivellm_lite.engine import Context

    context = Context(tiny_model, ContextOptions(256))
    tokens = virtual_tokens(digest("a"), ROWS)
    with pytest.raises(InferenceError, match="rows of 4 numbers"):
        context.decode([Row(0, 0, tokens, 0)])
    assert context.n_positions(0) == 0
    context.close()

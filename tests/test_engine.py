"""The module that calls llama.cpp, on the tiny Llama and on the real small model."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from hivellm_lite import ContextLengthError, InferenceError, LoadError, OutOfMemoryError
from hivellm_lite.engine import Adapter, Context, ContextOptions, Model, Sampler, devices
from hivellm_lite.hardware import available_memory, physical_cores
from hivellm_lite.sampling import SamplingParams

SMALL = ContextOptions(n_ctx=64, n_threads=1)


@pytest.fixture
def model(tiny_base):
    loaded = Model(tiny_base)
    yield loaded
    loaded.close()


def test_tokens_and_bytes_are_inverse(model):
    for text in ("", " ", "Hello, world!", "naïve 東京 🎉", "a\x00b", "  \n\n\t", "<|im_start|>"):
        tokens = model.tokenize(text)
        assert b"".join(model.piece(token) for token in tokens) == text.encode()


def test_lone_surrogates_do_not_end_the_process(model):
    assert model.tokenize("a\ud800b")


def test_names_of_control_tokens_are_text_unless_asked_for(model):
    token = model.special_token("<|im_end|>")
    assert model.tokenize("<|im_end|>", special=True) == [token]
    assert len(model.tokenize("<|im_end|>")) > 1
    assert model.piece(token) == b""
    assert model.piece(token, special=True) == b"<|im_end|>"
    assert model.is_end(token)
    assert model.special_token("no such token") is None


def test_decode_in_one_call_or_several_gives_the_same_logits(model):
    tokens = model.tokenize("one two three four five")
    options = ContextOptions(n_ctx=64, n_threads=1, kv_type="f32", flash_attention=False)
    context = Context(model, options)
    context.decode(tokens, 0, n_logits=len(tokens))
    whole = [context.logits(i - len(tokens)).copy() for i in range(len(tokens))]
    context.clear()
    for place, token in enumerate(tokens):
        context.decode([token], place)
        np.testing.assert_allclose(context.logits(), whole[place], atol=1e-4)
    context.truncate(2)
    context.decode(tokens[2:], 2)
    np.testing.assert_allclose(context.logits(), whole[-1], atol=1e-4)


def test_decoding_beyond_the_context_is_an_error_before_llama_cpp(model):
    context = Context(model, SMALL)
    with pytest.raises(ContextLengthError, match="n_ctx="):
        context.decode([1] * 10, context.n_ctx - 5)


def test_a_token_that_does_not_exist_is_an_error_with_llama_cpps_reason(model):
    context = Context(model, SMALL)
    with pytest.raises(InferenceError, match=r"(?s)failed to decode 1 tokens.*llama\.cpp: "):
        context.decode([model.n_vocab + 5], 0)
    context.decode([1], 0)


def test_closing_a_model_closes_what_belongs_to_it(tiny_base):
    model = Model(tiny_base)
    context = Context(model, SMALL)
    model.close()
    assert context.closed
    with pytest.raises(InferenceError, match="this context was closed"):
        context.decode([1], 0)
    with pytest.raises(InferenceError, match="this model was closed"):
        model.tokenize("x")


def test_what_is_dropped_is_freed_without_a_crash(tiny_base):
    for _ in range(3):
        model = Model(tiny_base)
        context = Context(model, SMALL)
        context.decode([1, 2, 3], 0)
        sampler = Sampler(SamplingParams(temperature=1.0), 1, model.n_vocab)
        sampler.sample(context)
        del model, context, sampler
        gc.collect()


def test_an_adapter_that_llama_cpp_refuses_is_a_load_error(model, tmp_path, tiny_base):
    with pytest.raises(LoadError, match=r"(?s)cannot load the adapter .*llama\.cpp: "):
        Adapter(model, tiny_base)
    with pytest.raises(LoadError, match="cannot load the adapter"):
        Adapter(model, tmp_path / "none.gguf")


def test_a_context_that_does_not_fit_memory_is_refused_with_numbers(real_base):
    model = Model(real_base)
    options = ContextOptions(n_ctx=1 << 24, kv_type="f32")
    with pytest.raises(OutOfMemoryError, match=r"16777216 positions needs 773\d+ MB .* are free"):
        Context(model, options)
    model.close()


def test_the_machine_is_described(model):
    assert [device.name for device in devices()]
    assert physical_cores() >= 1
    memory = available_memory()
    assert memory is None or memory > 0
    assert model.metadata("general.architecture") == "llama"
    assert model.metadata("no.such.key") is None
    assert model.size > 0

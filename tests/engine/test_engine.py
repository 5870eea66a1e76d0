"""The module that calls llama.cpp, on the tiny Llama and on the real small model."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from hivellm_lite import ContextLengthError, InferenceError, LoadError, OutOfMemoryError
from hivellm_lite.engine import (
    Adapter,
    Context,
    ContextOptions,
    InterruptedDecodeError,
    KVState,
    Model,
    Row,
    Sampler,
    devices,
)
from hivellm_lite.hardware import physical_cores
from hivellm_lite.process.memory_limits import available_memory
from hivellm_lite.sampling import SamplingParams

from ..support.devices import MEMORY, tolerance

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


@pytest.mark.parametrize(
    ("asked", "device", "expected"),
    [
        ({}, "cpu", False),
        ({"flash_attention": True}, "cpu", True),
        ({"flash_attention": False}, "gpu", False),
        ({"kv_type": "q8_0"}, "cpu", None),
        ({}, "gpu", None),
    ],
)
def test_flash_attention_is_off_on_a_cpu_unless_it_is_wanted_or_needed(asked, device, expected):
    assert ContextOptions(**asked).on_device(cpu=device == "cpu").flash_attention is expected


def test_a_context_says_whether_it_uses_flash_attention(tiny_base):
    model = Model(tiny_base, device="cpu")
    try:
        assert Context(model, SMALL).options.flash_attention is False
    finally:
        model.close()


def test_decode_in_one_call_or_several_gives_the_same_logits(model):
    tokens = model.tokenize("one two three four five")
    options = ContextOptions(n_ctx=64, n_threads=1, kv_type="f32", flash_attention=False)
    context = Context(model, options)
    context.decode([Row(0, 0, tokens, n_logits=len(tokens))])
    whole = [context.logits(i).copy() for i in range(len(tokens))]
    context.truncate(0, 0)
    for place, token in enumerate(tokens):
        context.decode([Row(0, place, [token])])
        np.testing.assert_allclose(context.logits(), whole[place], atol=tolerance(1e-4))
    context.truncate(0, 2)
    context.decode([Row(0, 2, tokens[2:])])
    np.testing.assert_allclose(context.logits(), whole[-1], atol=tolerance(1e-4))


def test_decoding_beyond_the_context_is_an_error_before_llama_cpp(model):
    context = Context(model, SMALL)
    with pytest.raises(ContextLengthError, match="n_ctx="):
        context.decode([Row(0, context.n_ctx - 5, [1] * 10)])


def test_a_token_that_does_not_exist_is_an_error_with_llama_cpps_reason(model):
    context = Context(model, SMALL)
    with pytest.raises(InferenceError, match=r"(?s)failed to decode 1 tokens.*llama\.cpp: "):
        context.decode([Row(0, 0, [model.n_vocab + 5])])
    context.decode([Row(0, 0, [1])])


def test_closing_a_model_closes_what_belongs_to_it(tiny_base):
    model = Model(tiny_base)
    context = Context(model, SMALL)
    model.close()
    assert context.closed
    with pytest.raises(InferenceError, match="this context was closed"):
        context.decode([Row(0, 0, [1])])
    with pytest.raises(InferenceError, match="this model was closed"):
        model.tokenize("x")


def test_what_is_dropped_is_freed_without_a_crash(tiny_base):
    for _ in range(3):
        model = Model(tiny_base)
        context = Context(model, SMALL)
        context.decode([Row(0, 0, [1, 2, 3])])
        sampler = Sampler(SamplingParams(temperature=1.0), 1, model.n_vocab)
        sampler.accept([sampler.choose(context.logits())])
        del model, context, sampler
        gc.collect()


def test_an_adapter_that_llama_cpp_refuses_is_a_load_error(model, tmp_path, tiny_base):
    with pytest.raises(LoadError, match=r"(?s)cannot load the adapter .*llama\.cpp: "):
        Adapter(model, tiny_base)
    with pytest.raises(LoadError, match="cannot load the adapter"):
        Adapter(model, tmp_path / "none.gguf")


@pytest.mark.cpu(MEMORY)
def test_a_context_that_does_not_fit_memory_is_refused_with_numbers(real_base):
    model = Model(real_base)
    options = ContextOptions(n_ctx=1 << 24, kv_type="f32")
    with pytest.raises(
        OutOfMemoryError, match=r"positions \(773\d+ MB of f32.*\) needs \d+ MB; .* are free"
    ):
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


@pytest.fixture
def streams(model):
    exact = ContextOptions(n_ctx=256, n_threads=1, kv_type="f32", flash_attention=False)
    context = Context(model, exact, n_streams=3)
    yield context
    context.close()


def test_rows_of_several_streams_are_computed_as_if_alone(model, streams):
    texts = [model.tokenize(text) for text in ("one two three", "four", "five six")]
    alone = []
    for tokens in texts:
        streams.truncate(0, 0)
        streams.decode([Row(0, 0, tokens)])
        alone.append(streams.logits().copy())
    streams.truncate(0, 0)
    ends = streams.decode([Row(index, 0, tokens) for index, tokens in enumerate(texts)])
    for end, expected in zip(ends, alone, strict=True):
        np.testing.assert_allclose(streams.logits(end), expected, atol=tolerance(1e-4))


def test_a_state_moves_between_streams_and_contexts_of_other_shapes(model, streams):
    tokens = model.tokenize("one two three four five")
    streams.decode([Row(1, 0, tokens)])
    expected = streams.logits().copy()
    state = streams.read_state(1)
    single = Context(model, streams.options, n_streams=1)
    for context, stream in ((streams, 2), (single, 0), (streams, 0)):
        context.write_state(stream, KVState.from_data(state.data.tobytes()))
        context.truncate(stream, len(tokens) - 1)
        context.decode([Row(stream, len(tokens) - 1, tokens[-1:])])
        np.testing.assert_allclose(context.logits(), expected, atol=tolerance(1e-5))
        state = context.read_state(stream)


def test_a_state_of_another_shape_of_cache_is_refused_and_leaves_the_stream_empty(model, streams):
    streams.decode([Row(0, 0, [1, 2, 3])])
    data = streams.read_state(0).data.tobytes()
    for wrong in (data[: len(data) // 2], b"\xff" * 64, data + data):
        with pytest.raises(InferenceError, match="refuses a saved KV cache"):
            streams.write_state(1, KVState.from_data(wrong))
    streams.decode([Row(1, 0, [1, 2, 3])])


def test_an_interrupted_decode_leaves_the_stream_as_it_was(model, streams):
    streams.decode([Row(0, 0, [1, 2, 3])])
    streams.interrupt()
    with pytest.raises(InterruptedDecodeError):
        streams.decode([Row(0, 3, [4] * 100), Row(1, 0, [5])])
    streams.resume()
    streams.decode([Row(0, 3, [4]), Row(1, 0, [5])])


def test_a_token_that_is_not_allowed_is_not_chosen(model):
    logits = np.zeros(model.n_vocab, np.float32)
    logits[[3, 5, 7]] = 3.0, 2.0, 1.0
    allowed = np.zeros(model.n_vocab, bool)
    allowed[[5, 7]] = True
    for params in (
        SamplingParams(),
        SamplingParams(repetition_penalty=1.1),
        SamplingParams(temperature=0.01),
        SamplingParams(temperature=1.0, top_k=1),
    ):
        sampler = Sampler(params, 1, model.n_vocab)
        assert sampler.choose(logits) == 3
        assert sampler.choose(logits, allowed) == 5

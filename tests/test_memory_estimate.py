"""What an expert will take is known, in numbers, before it is loaded."""

from __future__ import annotations

import logging
import re

import pytest
from hivellm_lite.converters.gguf.header import read_gguf_header

from hivellm_lite import Expert, OutOfMemoryError
from hivellm_lite.engine import Context, ContextOptions, Model, Row
from hivellm_lite.engine.cache_sizes import cache_sizes
from hivellm_lite.inference.opening import models
from hivellm_lite.inference.options import SessionOptions
from hivellm_lite.memory_estimate import MemoryEstimate, check_fits, estimate_memory, parse_bytes

from .support.devices import MEMORY
from .support.paths import EXPERTS, MODELS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (4096, 4096),
        ("4096", 4096),
        ("4GB", 4 * 10**9),
        ("1.5 g", 1_500_000_000),
        ("512MiB", 512 << 20),
        (" 2 kib ", 2048),
    ],
)
def test_amounts_are_read(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "GB", "-1", "4 XB", "1e9", "4GBB", 0, "0.1"])
def test_what_is_no_amount_is_refused(text):
    with pytest.raises(ValueError, match="amount of memory"):
        parse_bytes(text)


@pytest.mark.parametrize(
    "name",
    ["tiny-llama", "tiny-qwen3_5", "tiny-lfm2", "tiny-granite4-hybrid", "tiny-falcon-h1"],
)
def test_a_stream_takes_what_its_state_takes(name, tmp_path):
    """llama.cpp writes what a stream holds, with some bytes about each position and layer."""
    from hivellm_lite.converters.base import convert_base

    convert_base(MODELS / name, tmp_path / "base.gguf", quant="f32")
    model = Model(tmp_path / "base.gguf")
    try:
        context = Context(model, ContextOptions(256, n_threads=1, kv_type="f32"), 1)
        context.decode([Row(0, 0, list(range(3, 103)), 1)])
        size = context.read_state(0).nbytes
        sizes = model.cache_sizes
        expected = 100 * 4 * sizes.values_per_position + sizes.state_bytes
        assert expected <= size < expected + 100 * 40 + 1000
    finally:
        model.close()


def test_layers_that_share_keys_and_have_smaller_heads_take_less(tmp_path):
    from hivellm_lite.converters.base import convert_base

    convert_base(MODELS / "tiny-gemma4", tmp_path / "base.gguf", quant="f32")
    sizes = cache_sizes(read_gguf_header(tmp_path / "base.gguf"))
    # Two layers with a window and two without have keys of their own: heads of 16 and 32 values.
    assert sizes.values_per_position == 2 * (2 * 2 * 16 + 2 * 2 * 32)


@pytest.mark.parametrize(
    ("options", "n_streams"),
    [
        (ContextOptions(2048), 1),
        (ContextOptions(512, kv_type="q8_0"), 4),
        (ContextOptions(300, kv_type="f32", flash_attention=False), 2),
    ],
)
def test_the_estimate_is_what_llama_cpp_allocates(real_base, options, n_streams):
    estimate = estimate_memory([real_base], SessionOptions(options), n_streams=n_streams)
    model = Model(real_base)
    try:
        assert estimate.weights == model.size
        context = Context(model, options, n_streams)
        per_position = estimate.kv_cache / (n_streams * context.n_ctx)
        assert context.kv_bytes == int(per_position * n_streams * options.n_ctx)
    finally:
        model.close()


@pytest.mark.parametrize(
    ("options", "n_streams"),
    [
        (ContextOptions(512), 16),
        (ContextOptions(2048), 1),
        (ContextOptions(8192), 1),
        (ContextOptions(8192, flash_attention=True), 1),
        (ContextOptions(2048, kv_type="q8_0"), 1),
    ],
)
def test_buffers_for_computing_are_known_within_15_percent(real_base, caplog, options, n_streams):
    estimate = estimate_memory([real_base], SessionOptions(options), n_streams=n_streams)
    caplog.set_level(logging.DEBUG, "hivellm_lite.llama")
    model = Model(real_base, device="cpu")
    caplog.clear()
    try:
        Context(model, options, n_streams)
    finally:
        model.close()
    told = re.findall(r"(?:compute|output) buffer size = +([\d.]+) MiB", caplog.text)
    assert len(told) == 2
    assert estimate.compute == pytest.approx(sum(map(float, told)) * 2**20, rel=0.15)


def test_what_does_not_fit_is_refused_with_the_parts():
    estimate = MemoryEstimate(weights=10**9, kv_cache=2 * 10**9, compute=10**8, adapter=10**7)
    check_fits(estimate, "x", limit=4 * 10**9)
    with pytest.raises(OutOfMemoryError) as caught:
        check_fits(estimate, "x", limit=3 * 10**9)
    assert str(caught.value).splitlines()[0] == (
        "x needs about 3110 MB (weights 1000 MB, kv cache 2000 MB, compute 100 MB, "
        "adapter 10 MB); 3000 MB are allowed"
    )


@pytest.mark.cpu(MEMORY)
def test_loading_is_refused_before_the_model_is_loaded(real_base):
    with pytest.raises(OutOfMemoryError, match=r"needs about .*kv cache 773\d+ MB"):
        Expert.load(EXPERTS / "sql.expert", base=real_base, n_ctx=1 << 24, kv_type="f32")
    assert models == {}

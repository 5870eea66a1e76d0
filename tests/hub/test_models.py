"""Which GGUF file of a repository is taken."""

from __future__ import annotations

import pytest

from hivellm_lite.hub.models import choose_gguf


@pytest.mark.parametrize(
    ("names", "quantization", "chosen"),
    [
        (["Qwen3-0.6B-Q8_0.gguf", "Qwen3-0.6B-Q4_K_M.gguf"], "q8_0", "Qwen3-0.6B-Q8_0.gguf"),
        (["m-fp16.gguf", "m.BF16.gguf"], "f16", "m-fp16.gguf"),
        (["m-fp16.gguf", "m.BF16.gguf"], "bf16", "m.BF16.gguf"),
        (["m-long-q8_0.gguf", "m-q8_0.gguf"], "q8_0", "m-q8_0.gguf"),
        (["mmproj-m-Q8_0.gguf", "sub/m-q8_0.gguf"], "q8_0", None),
        (
            ["m-q8_0-00002-of-00002.gguf", "m-q8_0-00001-of-00002.gguf", "m-q4_0.gguf"],
            "q8_0",
            "m-q8_0-00001-of-00002.gguf",
        ),
        (["m-q8_0-00001-of-00002.gguf", "m-long-q8_0.gguf"], "q8_0", "m-long-q8_0.gguf"),
        (["m-q8_0-00001-of-00001.gguf"], "q8_0", "m-q8_0-00001-of-00001.gguf"),
        (["m-iq8_0.gguf", "m-q8_0.bin"], "q8_0", None),
    ],
)
def test_the_gguf_is_chosen_by_its_quantization(names, quantization, chosen):
    assert choose_gguf(names, quantization) == chosen


def test_the_only_gguf_is_taken_where_that_is_allowed():
    assert choose_gguf(["m-Q4_K_M.gguf"], "q8_0") is None
    assert choose_gguf(["m-Q4_K_M.gguf", "README.md"], "q8_0", any_single=True) == "m-Q4_K_M.gguf"
    assert choose_gguf(["a.gguf", "b.gguf"], "q8_0", any_single=True) is None
    assert choose_gguf(["a.gguf", "model.safetensors"], "q8_0", any_single=True) is None

"""Adapters converted by us, applied by llama.cpp, give PEFT's own logits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.forms.lora import LoraReport, convert_lora
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.peft.adapter import Adapter, AdapterConfig, AdapterTensor, BaseCopy
from hivellm_lite.converters.peft.updates import LowRank

from hivellm_lite.errors import ConversionError

from ...support import llama
from ...support.model_files import saved_adapter
from ...support.paths import FIXTURES, MODELS

REFERENCE = np.load(FIXTURES / "reference.npz")
PLAIN = ("plain", "rslora", "patterns", "layers", "head", "embedding", "bf16", "f16")
COVERED = sorted(
    name for name in REFERENCE.files if "/adapter/" in name and name.split("/")[2] in PLAIN
)
TOLERANCE = 1e-3


@pytest.fixture(scope="session")
def base_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("bases")

    def base(name: str) -> Path:
        path = folder / f"{name}.gguf"
        if not path.exists():
            convert_base(MODELS / name, path, quant="f32")
        return path

    return base


def adapter_of(
    *modules: tuple[str, int, int], value: float = 1.0, embedding: bool = False
) -> Adapter:
    """Adapter of rank 2 with constant weights for (name, out, in) each."""
    made = [
        AdapterTensor(
            name,
            ".weight",
            LowRank(
                np.full((2, n_in), value, np.float32),
                np.full((n_out, 2), value, np.float32),
                1.0,
                embedding,
            ),
        )
        for name, n_out, n_in in modules
    ]
    return Adapter(Path("adapter.safetensors"), AdapterConfig(2, 2, "a test"), tuple(made))


@pytest.mark.parametrize("name", COVERED)
def test_logits_are_those_of_peft(
    name: str, base_of: Callable[[str], Path], tmp_path: Path
) -> None:
    base, _, form = name.split("/")
    out = tmp_path / "adapter.gguf"
    convert_lora(saved_adapter(base, form), read_gguf_header(base_of(base)), out)
    tokens, expected = REFERENCE[f"{base}/ids/0"], REFERENCE[name]
    # The adapters change the logits by more than 5, so this tests them and not the base.
    assert np.abs(expected - REFERENCE[f"{base}/logits/0"]).max() > 5
    logits = llama.logits(base_of(base), tokens, out)
    assert np.abs(logits - expected).max() < TOLERANCE
    np.testing.assert_array_equal(logits.argmax(1), expected.argmax(1))


def test_every_plain_form_is_covered() -> None:
    assert {name.split("/")[2] for name in COVERED if name.startswith("tiny-llama/")} == set(PLAIN)


def test_f16_is_the_f32_file_rounded(base_of: Callable[[str], Path], tmp_path: Path) -> None:
    base, wide, narrow = base_of("tiny-llama"), tmp_path / "f32.gguf", tmp_path / "f16.gguf"
    header, adapter = read_gguf_header(base), saved_adapter("tiny-llama", "layers")
    convert_lora(adapter, header, wide)
    convert_lora(adapter, header, narrow, dtype="f16")
    pairs = zip(GGUFReader(wide).tensors, GGUFReader(narrow).tensors, strict=True)
    for exact, rounded in pairs:
        assert (rounded.name, rounded.data.dtype) == (exact.name, np.float16)
        np.testing.assert_array_equal(rounded.data, exact.data.astype(np.float16))
    # One adapted matrix: enough for llama.cpp to show that it reads the type.
    logits = llama.logits(base, REFERENCE["tiny-llama/ids/0"], narrow)
    assert np.abs(logits - REFERENCE["tiny-llama/adapter/layers"]).max() < 0.02


def test_the_file_says_what_it_is(base_of: Callable[[str], Path], tmp_path: Path) -> None:
    out = tmp_path / "adapter.gguf"
    report = convert_lora(
        saved_adapter("tiny-llama", "patterns"), read_gguf_header(base_of("tiny-llama")), out
    )
    header = read_gguf_header(out)
    assert header.metadata == {
        "general.architecture": "llama",
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 0.0,
    }
    assert header.tensors["blk.0.attn_q.weight.lora_a"].shape == (2, 64)
    assert header.tensors["blk.1.ffn_up.weight.lora_b"].shape == (80, 6)
    scales = (0.5, 0.75, 2.0, 4.0, 8.0)
    assert report == LoraReport(out, 16, out.stat().st_size, (2, 4, 6), scales, ())
    assert "path" not in report.as_dict()


def test_dropped_copies_of_the_base_are_reported(
    base_of: Callable[[str], Path], tmp_path: Path
) -> None:
    header = read_gguf_header(base_of("tiny-llama"))
    report = convert_lora(saved_adapter("tiny-llama", "embedding"), header, tmp_path / "a.gguf")
    assert report.dropped == ("model.embed_tokens.base_layer.weight",)


def test_the_same_adapter_gives_the_same_bytes(
    base_of: Callable[[str], Path], tmp_path: Path
) -> None:
    header = read_gguf_header(base_of("tiny-llama"))
    for name in ("a", "b"):
        convert_lora(saved_adapter("tiny-llama", "plain"), header, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_leading_model_may_be_missing(base_of: Callable[[str], Path], tmp_path: Path) -> None:
    header = read_gguf_header(base_of("tiny-llama"))
    convert_lora(adapter_of(("layers.1.mlp.up_proj", 80, 64)), header, tmp_path / "a.gguf")
    assert "blk.1.ffn_up.weight.lora_a" in read_gguf_header(tmp_path / "a.gguf").tensors


@pytest.mark.parametrize(
    ("base", "adapter", "rule"),
    [
        (
            "tiny-llama",
            adapter_of(("model.layers.0.mlp.up_proj", 96, 64)),
            r"weight has shape \[96, 64\], blk\.0\.ffn_up\.weight has \[80, 64\]",
        ),
        (
            "tiny-llama",
            adapter_of(("model.layers.0.mlp.down_proj", 64, 96)),
            r"weight has shape \[64, 96\]",
        ),
        (
            "tiny-llama",
            adapter_of(("model.layers.7.mlp.up_proj", 80, 64)),
            "2 layers, 0 to 1",
        ),
        (
            "tiny-llama",
            adapter_of(("model.layers.0.mlp.experts.3.up_proj", 80, 64)),
            "not a module of the architecture llama",
        ),
        (
            "tiny-llama",
            adapter_of(("transformer.h.0.attn", 80, 64)),
            "not a module of the architect",
        ),
        (
            "tiny-llama",
            adapter_of(("model.layers.0.self_attn.q_norm", 16, 16)),
            "not a module of the architecture llama",
        ),
        (
            "tiny-llama",
            adapter_of(("model.layers.0.mlp.up_proj", 80, 64), embedding=True),
            "an embedding's LoRA on another module",
        ),
        (
            "tiny-llama",
            adapter_of(("model.embed_tokens", 64, 500)),
            "an embedding's LoRA on another module, or the other way round",
        ),
        (
            "tiny-llama",
            adapter_of(("model.embed_tokens", 64, 99), embedding=True),
            "a vocabulary of 99 tokens, the base one of 500",
        ),
        ("tiny-qwen3", saved_adapter("tiny-qwen3", "head"), "head is tied to its embedding"),
        ("tiny-qwen3", saved_adapter("tiny-qwen3", "embedding"), "embedding is also its head"),
        ("tiny-qwen3", saved_adapter("tiny-llama", "plain"), "does not fit"),
        (
            "tiny-llama",
            Adapter(
                Path("x"),
                AdapterConfig(2, 2, "a test"),
                adapter_of(("lm_head", 500, 64)).tensors,
                (BaseCopy("lm_head", "lm_head.base_layer.weight", (499, 64)),),
            ),
            r"tensor of shape \[499, 64\], not \[500, 64\]",
        ),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_before_anything_is_written(
    base: str, adapter: Adapter, rule: str, base_of: Callable[[str], Path], tmp_path: Path
) -> None:
    out = tmp_path / "adapter.gguf"
    with pytest.raises(ConversionError, match=rule) as caught:
        convert_lora(adapter, read_gguf_header(base_of(base)), out)
    is_of_another_base = "weight has shape" in rule or rule in ("2 layers, 0 to 1", "does not fit")
    assert ("trained for another base" in str(caught.value)) == is_of_another_base
    assert not out.exists()


def test_a_base_that_lacks_a_tensor_is_named(
    base_of: Callable[[str], Path], tmp_path: Path
) -> None:
    header = read_gguf_header(base_of("tiny-llama"))
    missing: Any = {n: t for n, t in header.tensors.items() if n != "blk.0.ffn_up.weight"}
    partial = type(header)(**{**vars(header), "tensors": missing})
    with pytest.raises(ConversionError, match=r"the base has no tensor blk\.0\.ffn_up\.weight"):
        convert_lora(adapter_of(("model.layers.0.mlp.up_proj", 80, 64)), partial, tmp_path / "a")


def test_a_base_whose_heads_do_not_divide_its_rows_is_refused(
    base_of: Callable[[str], Path], tmp_path: Path
) -> None:
    header = read_gguf_header(base_of("tiny-llama"))
    metadata: Any = {**header.metadata, "llama.attention.head_count": 7}
    crooked = type(header)(**{**vars(header), "metadata": metadata})
    with pytest.raises(ConversionError, match="64 rows cannot be 7 heads"):
        convert_lora(
            adapter_of(("model.layers.0.self_attn.q_proj", 64, 64)), crooked, tmp_path / "a"
        )


def test_an_unknown_architecture_is_refused(base_of: Callable[[str], Path], tmp_path: Path) -> None:
    header = read_gguf_header(base_of("tiny-llama"))
    other = type(header)(**{**vars(header), "architecture": "rwkv7"})
    with pytest.raises(ConversionError, match="on the architecture 'rwkv7' are not supported"):
        convert_lora(saved_adapter("tiny-llama", "plain"), other, tmp_path / "a.gguf")


def test_values_beyond_f16_are_refused_as_f16(
    base_of: Callable[[str], Path], tmp_path: Path
) -> None:
    header = read_gguf_header(base_of("tiny-llama"))
    adapter = adapter_of(("model.layers.0.mlp.up_proj", 80, 64), value=1e5)
    with pytest.raises(ConversionError, match="exceed the range of f16"):
        convert_lora(adapter, header, tmp_path / "a.gguf", dtype="f16")
    convert_lora(adapter, header, tmp_path / "a.gguf")


def test_an_unknown_dtype_is_refused(base_of: Callable[[str], Path], tmp_path: Path) -> None:
    header = read_gguf_header(base_of("tiny-llama"))
    with pytest.raises(ConversionError, match="not 'q8_0'"):
        convert_lora(
            saved_adapter("tiny-llama", "plain"), header, tmp_path / "a.gguf", dtype="q8_0"
        )

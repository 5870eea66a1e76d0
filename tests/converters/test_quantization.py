from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType
from gguf.quants import quantize
from hivellm_lite.converters.quantization import Q8_0_CHUNK, encode_rows, row_bytes, tensor_type


def hard_rows() -> np.ndarray:
    """Noise of many sizes, exact ties between two steps, zeros of both signs."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((Q8_0_CHUNK // 2 + 7, 96)).astype(np.float32)
    rows *= np.float32(10) ** rng.integers(-6, 5, (len(rows), 1)).astype(np.float32)
    ties = np.arange(32, dtype=np.float32) / 2
    ties[-1] = 127
    rows[0] = np.tile(ties, 3)
    rows[1] = -rows[0]
    rows[2], rows[3] = 0.0, -0.0
    rows[4] *= np.float32(1e-38) / np.abs(rows[4]).max()
    return rows


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0"])
def test_the_bytes_are_those_of_the_gguf_package(kind: str) -> None:
    rows = hard_rows()
    with np.errstate(all="ignore"):
        expected = quantize(rows, GGMLQuantizationType[kind])
    encoded = encode_rows(rows, kind)  # type: ignore[arg-type]
    assert encoded.tobytes() == expected.tobytes()
    assert encoded.nbytes == len(rows) * row_bytes(kind, 96)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("quant", "shape", "kind"),
    [
        ("q8_0", (4, 64), "Q8_0"),
        ("q8_0", (4, 80), "F16"),
        ("q8_0", (64,), "F32"),
        ("f16", (4, 80), "F16"),
        ("f16", (64,), "F32"),
        ("bf16", (4, 80), "BF16"),
        ("bf16", (64,), "F32"),
        ("f32", (4, 64), "F32"),
    ],
)
def test_types_follow_llama_cpp_s_rules(quant: str, shape: tuple[int, ...], kind: str) -> None:
    assert tensor_type(quant, shape) == kind


def test_a_block_too_small_for_its_scale_becomes_zeros() -> None:
    rows = np.full((1, 32), 1e-44, np.float32)
    assert not encode_rows(rows, "Q8_0").any()

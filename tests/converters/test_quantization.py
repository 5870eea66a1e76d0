from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize, quantize
from hivellm_lite.converters.base import conversion, convert_base, estimate_size
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.quantization import (
    Q8_0_CHUNK,
    QUANTIZATIONS,
    encode_rows,
    is_mix,
    row_bytes,
    tensor_type,
)

from hivellm_lite.engine.quantizer import quantize_file
from hivellm_lite.errors import ConversionError

from ..support import llama
from ..support.paths import MODELS

MIXES = [name for name in QUANTIZATIONS if is_mix(name)]


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


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_the_bytes_are_those_of_the_gguf_package(kind: str) -> None:
    rows = hard_rows()
    if kind in ("Q4_0", "Q5_0"):
        rows = rows[4:]  # ggml's scale of a block of zeros is -0
    with np.errstate(all="ignore"):
        expected = quantize(rows, GGMLQuantizationType[kind])
    encoded = encode_rows(rows, kind)
    assert encoded.tobytes() == expected.tobytes()
    assert encoded.nbytes == len(rows) * row_bytes(kind, 96)


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


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("Q2_K", 0.35),
        ("Q3_K", 0.2),
        ("Q4_K", 0.09),
        ("Q5_K", 0.045),
        ("Q6_K", 0.025),
        ("IQ3_S", 0.2),
        ("IQ4_NL", 0.09),
        ("IQ4_XS", 0.09),
    ],
)
def test_types_that_ggml_encodes_come_close(kind: str, error: float) -> None:
    """The expected errors are relative; each is below that of the next coarser type."""
    rows = noise(8, 512)
    encoded = encode_rows(rows, kind)
    assert encoded.nbytes == 8 * row_bytes(kind, 512)
    decoded = dequantize(encoded, GGMLQuantizationType[kind])
    assert error / 3 < np.linalg.norm(decoded - rows) / np.linalg.norm(rows) < error


def test_threads_do_not_change_the_bytes() -> None:
    rows = noise(64, 256)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda part: encode_rows(part, "Q4_K"), np.split(rows, 16)))
    assert np.concatenate(parts).tobytes() == encode_rows(rows, "Q4_K").tobytes()


def test_more_dimensions_are_kept() -> None:
    assert encode_rows(noise(2, 3, 64), "Q4_0").shape == (2, 3, 36)


@pytest.mark.parametrize("kind", ["Q4_K", "Q4_0"])
def test_a_shape_that_a_type_does_not_allow_is_refused(kind: str) -> None:
    with pytest.raises(ConversionError, match=f"rows of 80 weights cannot be {kind}"):
        encode_rows(noise(2, 80), kind)


@pytest.mark.parametrize("kind", ["IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"])
def test_types_that_need_an_importance_matrix_are_refused(kind: str) -> None:
    with pytest.raises(ConversionError, match=f"'{kind}': it needs an importance matrix"):
        encode_rows(noise(2, 256), kind)


@pytest.mark.parametrize("kind", ["I32", "Q8_K", "nonsense"])
def test_types_that_are_not_for_weights_are_refused(kind: str) -> None:
    with pytest.raises(ConversionError, match=f"cannot encode weights as {kind}"):
        encode_rows(noise(2, 256), kind)


@pytest.mark.parametrize("quant", MIXES)
def test_a_mix_holds_each_tensor_as_its_type_encodes_it(quant: str, tmp_path: Path) -> None:
    """llama.cpp chose the types; from the checkpoint's own floats, not from rounded ones."""
    convert_base(MODELS / "tiny-mistral", tmp_path / "f32", quant="f32")
    report = convert_base(MODELS / "tiny-mistral", tmp_path / "mix", quant=quant.upper())
    assert report.quant == quant
    assert [path.name for path in sorted(tmp_path.iterdir()) if path.is_file()] == ["f32", "mix"]
    floats = {tensor.name: tensor.data for tensor in GGUFReader(tmp_path / "f32").tensors}
    for tensor in GGUFReader(tmp_path / "mix").tensors:
        expected = encode_rows(np.array(floats[tensor.name]), tensor.tensor_type.name)
        assert tensor.data.tobytes() == expected.tobytes(), tensor.name
    assert len(floats) == report.tensors
    llama.logits(tmp_path / "mix", [1, 2, 3])


def test_the_mix_is_llama_cpp_s(tmp_path: Path) -> None:
    convert_base(MODELS / "tiny-mistral", tmp_path / "mix", quant="q4_k_m")
    header = read_gguf_header(tmp_path / "mix")
    assert header.metadata["general.file_type"] == 15
    types = {name: tensor.type_name for name, tensor in header.tensors.items()}
    assert types["token_embd.weight"] == "Q4_K"
    assert types["output.weight"] == types["blk.0.attn_v.weight"] == "Q6_K"
    assert types["blk.0.attn_norm.weight"] == "F32"


def test_shapes_that_a_mix_does_not_allow_get_llama_cpp_s_fallback(tmp_path: Path) -> None:
    convert_base(MODELS / "tiny-llama", tmp_path / "mix", quant="q4_k_m")
    tensors = read_gguf_header(tmp_path / "mix").tensors
    assert tensors["blk.0.ffn_down.weight"].type_name == "F16"  # rows of 80
    assert tensors["blk.0.attn_q.weight"].type_name == "Q5_0"  # rows of 64


@pytest.mark.parametrize("quant", ["q4_k", "", "Q4_K_XL"])
def test_an_unknown_quantisation_lists_the_known_ones(quant: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=f"cannot write '{quant}'; known are ") as caught:
        convert_base(MODELS / "tiny-llama", tmp_path / "model.gguf", quant=quant)
    assert str(caught.value).endswith(", ".join(QUANTIZATIONS))


@pytest.mark.parametrize("quant", ["iq2_xs", "IQ1_S", "q2_k_s"])
def test_a_mix_that_needs_an_importance_matrix_is_refused(quant: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="needs an importance matrix"):
        convert_base(MODELS / "tiny-mistral", tmp_path / "model.gguf", quant=quant)


def test_a_mix_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "mix").mkdir()
    with pytest.raises(ConversionError, match=r"cannot quantise mix\.float\nllama\.cpp"):
        convert_base(MODELS / "tiny-mistral", tmp_path / "mix", quant="q4_0")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("mix")] == ["mix"]


def test_a_file_that_is_no_gguf_is_refused_with_llama_cpp_s_reason(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"nonsense")
    with pytest.raises(ConversionError, match=r"cannot quantise a\nllama\.cpp"):
        quantize_file(tmp_path / "a", tmp_path / "b", 2, threads=1)


def test_the_estimate_of_a_mix_covers_both_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    original = conversion._write_tensors

    def write(*arguments: object) -> None:
        original(*arguments)  # type: ignore[arg-type]
        sizes.append((tmp_path / "mix.float").stat().st_size)

    monkeypatch.setattr(conversion, "_write_tensors", write)
    sizes.append(convert_base(MODELS / "tiny-mistral", tmp_path / "mix", quant="q4_k_m").bytes)
    assert abs(estimate_size(MODELS / "tiny-mistral", "q4_k_m") - sum(sizes)) < 0.1 * sum(sizes)

"""Packings written here from their public definitions, and what is refused of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.checkpoints.opening import open_checkpoint
from hivellm_lite.converters.safetensors import SafetensorsFile

from hivellm_lite.errors import ConversionError

from ...support.model_files import change_json, copy_model, framed
from ...support.paths import MODELS

Stored = tuple[str, npt.NDArray[Any]]
RNG = np.random.default_rng(0)
FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
STATE = {"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": [2, 64]}
KEY = "m.weight.quant_state.bitsandbytes__nf4"


def write(folder: Path, tensors: dict[str, Stored], **quantization: Any) -> Path:
    header, data = {}, b""
    for name, (dtype, values) in tensors.items():
        raw = values.tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": offsets}
        data += raw
    (folder / "model.safetensors").write_bytes(framed(json.dumps(header).encode(), data))
    config = {"quantization_config": quantization} if quantization else {}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def weight_in(folder: Path) -> npt.NDArray[np.float32]:
    with open_checkpoint(folder) as tensors:
        assert list(tensors) == ["m.weight"]
        return tensors["m.weight"].read_float32("m.weight")


def ints(low: int, high: int, *shape: int, dtype: str = "i1") -> npt.NDArray[Any]:
    return RNG.integers(low, high, shape).astype(dtype)


def floats(*shape: int) -> npt.NDArray[np.float32]:
    return RNG.uniform(0.5, 2, shape).astype(np.float32)


def four_bit(**changes: Any) -> dict[str, Stored]:
    """A weight in NF4 with its settings changed; a value of None removes a tensor."""
    state = json.dumps({**STATE, **changes.pop("state", {})}).encode()
    tensors: dict[str, Stored | None] = {
        "m.weight": ("U8", ints(0, 256, 64, 1, dtype="u1")),
        "m.weight.absmax": ("F32", floats(2)),
        "m.weight.quant_map": ("F32", np.linspace(-1, 1, 16).astype(np.float32)),
        KEY: ("U8", np.frombuffer(state, np.uint8)),
        **{f"m.weight{key.replace('__', '.')}": value for key, value in changes.items()},
    }
    return {name: stored for name, stored in tensors.items() if stored is not None}


def nested() -> dict[str, Stored]:
    return four_bit(
        __absmax=("U8", ints(0, 256, 2, dtype="u1")),
        __nested_absmax=("F32", floats(1)),
        __nested_quant_map=("F32", floats(256)),
        state={"nested_blocksize": 256, "nested_offset": "x"},
    )


def test_nvfp4_of_modelopt_multiplies_by_its_second_scale(tmp_path: Path) -> None:
    codes, scales = ints(0, 16, 4, 32, dtype="u1"), ints(0x30, 0x40, 4, 2, dtype="u1")
    tensors = {
        "m.weight": ("U8", codes[:, ::2] | codes[:, 1::2] << 4),
        "m.weight_scale": ("F8_E4M3", scales),
        "m.weight_scale_2": ("F32", np.array(0.25, np.float32)),
        "m.input_scale": ("F32", np.array(1, np.float32)),
    }
    found = weight_in(write(tmp_path, tensors, quant_method="modelopt", quant_algo="NVFP4"))
    values = np.where(codes & 8, -FP4[codes & 7], FP4[codes & 7])
    by = (1 + (scales & 7) / 8) * 2.0 ** ((scales >> 3).astype(int) - 7) * 0.25
    np.testing.assert_allclose(found, values * np.repeat(by, 16, axis=1), rtol=1e-6)


def gptq(weight: npt.NDArray[np.float32]) -> tuple[dict[str, Stored], npt.NDArray[np.float16]]:
    """Random values in the packing of GPTQ, of the shape of ``weight``, and what they mean."""
    n_out, n_in = weight.shape
    values, groups = ints(0, 16, n_in, n_out, dtype="u4"), RNG.permutation(n_in) // 16
    scales = (floats(n_in // 16, n_out) / 50).astype(np.float16)
    zeros = ints(1, 16, n_in // 16, n_out, dtype="u4")
    qweight = sum(values[i::8] << np.uint32(4 * i) for i in range(8))
    qzeros = sum((zeros - 1)[:, i::8] << np.uint32(4 * i) for i in range(8))
    tensors = {
        "qweight": ("I32", qweight),
        "qzeros": ("I32", qzeros),
        "scales": ("F16", scales),
        "g_idx": ("I32", groups.astype(np.int32)),
    }
    meant = (values.astype(np.float32) - zeros[groups]) * scales[groups].astype(np.float32)
    return tensors, np.ascontiguousarray(meant.T.astype(np.float16))


@pytest.mark.parametrize("quant", ["f32", "q8_0"])
def test_a_quantised_model_becomes_the_file_of_its_dequantised_weights(
    quant: str, tmp_path: Path
) -> None:
    """Llama's queries and keys have their rows in another order in GGUF."""
    with SafetensorsFile(MODELS / "tiny-llama" / "model.safetensors") as file:
        weights = {name: file.read_float32(name) for name in file.tensors}
    packed: dict[str, Stored] = {}
    plain: dict[str, Stored] = {}
    for name, weight in weights.items():
        if name.endswith("_proj.weight"):
            parts, meant = gptq(weight)
            packed |= {name.replace("weight", part): stored for part, stored in parts.items()}
            plain[name] = ("F16", meant)
        else:
            packed[name] = plain[name] = ("F32", weight)
    files = []
    for number, tensors in enumerate((packed, plain)):
        (place := tmp_path / str(number)).mkdir()
        folder = copy_model("tiny-llama", place)
        config = (folder / "config.json").read_text()
        write(folder, tensors)
        (folder / "config.json").write_text(config)
        if tensors is packed:
            change_json(folder / "config.json", quantization_config={"quant_method": "gptq"})
        convert_base(folder, place / "model.gguf", quant=quant)
        files.append((place / "model.gguf").read_bytes())
    assert files[0] == files[1]


def test_int8_of_compressed_tensors_may_have_zero_points(tmp_path: Path) -> None:
    values, zeros, scales = ints(-128, 128, 4, 8), ints(-128, 128, 4, 1), floats(4, 1)
    tensors = {
        "m.weight": ("I8", values),
        "m.weight_scale": ("F32", scales),
        "m.weight_zero_point": ("I8", zeros),
    }
    found = weight_in(write(tmp_path, tensors, quant_method="compressed-tensors"))
    np.testing.assert_array_equal(found, (values.astype(np.float32) - zeros) * scales)


def test_packed_words_may_have_their_inputs_in_another_order(tmp_path: Path) -> None:
    values, scales, groups = ints(0, 16, 4, 16, dtype="u4"), floats(4, 2), RNG.permutation(16) // 8
    words = sum(values[:, i::8] << np.uint32(4 * i) for i in range(8))
    tensors = {
        "m.weight_packed": ("I32", words),
        "m.weight_shape": ("I64", np.array([4, 16])),
        "m.weight_scale": ("F32", scales),
        "m.weight_g_idx": ("I32", groups.astype(np.int32)),
    }
    folder = write(tmp_path, tensors, quant_method="compressed-tensors", format="pack-quantized")
    expected = (values.astype(np.float32) - 8) * scales[:, groups]
    np.testing.assert_array_equal(weight_in(folder), expected)
    tensors["m.weight_g_idx"] = ("I32", np.full(16, 2, np.int32))
    with pytest.raises(ConversionError, match="does not name 2 groups"):
        weight_in(write(tmp_path, tensors))


def test_packed_words_may_have_zero_points_of_a_byte(tmp_path: Path) -> None:
    values, scales, zeros = ints(0, 16, 4, 16, dtype="u4"), floats(4, 2), ints(-8, 8, 4, 2)
    tensors = {
        "m.weight_packed": ("I32", sum(values[:, i::8] << np.uint32(4 * i) for i in range(8))),
        "m.weight_shape": ("I64", np.array([4, 16])),
        "m.weight_scale": ("F32", scales),
        "m.weight_zero_point": ("I8", zeros),
    }
    expected = values.astype(np.float32) - 8 - np.repeat(zeros, 8, axis=1)
    expected *= np.repeat(scales, 8, axis=1)
    np.testing.assert_array_equal(weight_in(write(tmp_path, tensors)), expected)
    tensors["m.weight_zero_point"] = ("I8", zeros[:2])
    with pytest.raises(ConversionError, match="does not fit 2 groups"):
        weight_in(write(tmp_path, tensors))


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_scale_may_be_a_power_of_two(shape: tuple[int, ...], tmp_path: Path) -> None:
    codes, exponent = ints(0, 126, 4, 8, dtype="u1"), np.full(shape, 129, np.uint8)
    (tmp_path / "plain").mkdir()
    plain = weight_in(write(tmp_path / "plain", {"m.weight": ("F8_E4M3", codes)}))
    for dtype in ("U8", "F8_E8M0"):
        tensors = {"m.weight": ("F8_E4M3", codes), "m.weight_scale_inv": (dtype, exponent)}
        np.testing.assert_array_equal(weight_in(write(tmp_path, tensors)), plain * 4)


@pytest.mark.parametrize("block", [[4, 8], "4x8"])
def test_blocks_that_end_at_the_edge_have_the_size_that_the_config_gives(
    block: object, tmp_path: Path
) -> None:
    codes, scales = ints(0, 126, 6, 20, dtype="u1"), floats(2, 3)
    tensors = {"m.weight": ("F8_E4M3", codes), "m.weight_scale": ("F32", scales)}
    weights = {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": block}
    groups = {"group_0": {"weights": weights}}
    folder = write(tmp_path, tensors, quant_method="compressed-tensors", config_groups=groups)
    spread = np.repeat(np.repeat(scales, 4, 0)[:6], 8, 1)[:, :20]
    (tmp_path / "plain").mkdir()
    plain = write(tmp_path / "plain", {"m.weight": ("F8_E4M3", codes)})
    np.testing.assert_array_equal(weight_in(folder), weight_in(plain) * spread)
    for wrong in ([4], "4x", [0, 8], [4, True]):
        weights["block_structure"] = wrong
        with pytest.raises(ConversionError, match="expected two sizes"):
            weight_in(write(folder, tensors, quant_method="fp8", config_groups=groups))


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        (four_bit(state={"blocksize": 0}), "blocksize of a 4-bit weight is 0"),
        (four_bit(state={"dtype": "int8"}), "unknown dtype 'int8'"),
        (four_bit(state={"shape": [2, -64]}), "the shape is"),
        (four_bit(state={"shape": [2, 63]}), "of 4 bits take 63"),
        (four_bit(__absmax=("F32", floats(3))), r"the shape \[3\], expected \[2\]"),
        (nested(), "nested_offset is 'x'"),
        ({**four_bit(), KEY: ("U8", np.frombuffer(b"{", np.uint8))}, "is not JSON"),
        ({**four_bit(), KEY: ("U8", np.frombuffer(b"[]", np.uint8))}, "is not an object"),
        ({**four_bit(), KEY: ("U8", np.zeros(5000, np.uint8))}, "5000 bytes of settings"),
        ({k: v for k, v in four_bit().items() if k != KEY}, "whose quant_state is missing"),
        (
            {"m.weight": ("I8", ints(0, 9, 2, 4)), "m.SCB": ("F32", floats(3))},
            r"its scales \[3\]",
        ),
        (
            {
                "m.weight": ("I8", ints(0, 9, 2, 4)),
                "m.SCB": ("F32", floats(2)),
                "m.weight_format": ("U8", np.array(2, np.uint8)),
            },
            "for one kind of GPU",
        ),
        (
            {
                "m.weight": ("I8", ints(0, 9, 2, 4)),
                "m.SCB": ("F32", floats(2)),
                "m.weight_scale": ("F32", floats(2)),
            },
            "stored in two packings",
        ),
        (
            {
                "m.weight_packed": ("U8", ints(0, 9, 2, 4, dtype="u1")),
                "m.weight_scale": ("F32", floats(2, 1)),
                "m.weight_global_scale": ("F32", np.zeros(1, np.float32)),
            },
            "not one number other than 0",
        ),
        (
            {
                "m.weight_packed": ("U8", ints(0, 9, 2, 4, dtype="u1")),
                "m.weight_scale": ("F32", floats(2, 1)),
                "m.weight": ("F32", floats(2, 8)),
            },
            "stored as floats and quantised",
        ),
        (
            {
                "m.weight": ("F8_E4M3", ints(0, 9, 2, 4, dtype="u1")),
                "m.weight_scale": ("F32", np.full(1, np.nan, np.float32)),
            },
            "has NaN or infinity",
        ),
        (
            {
                "m.weight": ("F8_E4M3", ints(0, 9, 2, 4, 4, dtype="u1")),
                "m.weight_scale": ("F32", floats(1)),
            },
            "only matrices are read",
        ),
    ],
)
def test_what_contradicts_its_format_is_refused(
    tensors: dict[str, Stored], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=words):
        weight_in(write(tmp_path, tensors))


def test_weights_of_a_byte_without_the_scales_that_the_config_promises_are_refused(
    tmp_path: Path,
) -> None:
    tensors = {"m.weight": ("F8_E4M3", ints(0, 126, 2, 4, dtype="u1"))}
    with pytest.raises(ConversionError, match="has no scale"):
        weight_in(write(tmp_path, tensors, quant_method="fp8"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"quant_method": "awq", "bits": 8}, "AWQ of 8 bits is not read, only 4"),
        ({"quant_method": "awq", "bits": "4"}, "bits is '4', expected a size"),
    ],
)
def test_sizes_in_the_settings_are_checked(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    tensors = {"m.qweight": ("I32", ints(0, 9, 8, 1, dtype="i4"))}
    with pytest.raises(ConversionError, match=words):
        weight_in(write(tmp_path, tensors, **options))


def test_gptq_without_an_order_counts_its_groups_from_the_start(tmp_path: Path) -> None:
    """The last of three groups of 16 inputs is cut off."""
    values, scales = ints(0, 16, 40, 8, dtype="u4"), floats(3, 8).astype(np.float16)
    tensors = {
        "m.qweight": ("I32", sum(values[i::8] << np.uint32(4 * i) for i in range(8))),
        "m.qzeros": ("I32", np.full((3, 1), 0x77777777, np.uint32)),
        "m.scales": ("F16", scales),
    }
    folder = write(tmp_path, tensors, quant_method="gptq", bits=4, group_size=16)
    by = np.repeat(scales, 16, axis=0)[:40].astype(np.float32)
    expected = ((values.astype(np.float32) - 8) * by).astype(np.float16).T
    np.testing.assert_array_equal(weight_in(folder), expected)

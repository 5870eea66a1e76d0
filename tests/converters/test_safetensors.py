"""A gallery of files that lie, each with the story of what it tries."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hivellm_lite.converters.safetensors import MAX_HEADER_BYTES, SafetensorsFile

from hivellm_lite.errors import ConversionError

from ..support.model_files import Array, framed, safetensors


def entry(begin: int = 0, end: int = 8, shape: Any = (2,), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def file_of(header: object, n_data: int = 8) -> bytes:
    return framed(json.dumps(header).encode(), bytes(n_data))


LIES = {
    "empty file": (b"", "at least 8"),
    "half a length": (b"\x10\0\0", "at least 8"),
    "header longer than the file": (
        b"\xff\0\0\0\0\0\0\0{}",
        "header of 255 bytes, but only 2 follow",
    ),
    "header of exabytes": (b"\xff" * 8 + b"{}", f"{MAX_HEADER_BYTES} are allowed"),
    "no header at all": (framed(b""), "does not begin with"),
    "header is a list": (framed(b"[]"), "does not begin with"),
    "spaces before the header": (framed(b"  {}"), "does not begin with"),
    "header is not UTF-8": (framed(b'{"\xff": 1}'), "not UTF-8"),
    "header is cut": (framed(b'{"a": '), "not JSON"),
    "two headers": (framed(b"{}{}"), "not JSON"),
    "nesting that overflows the stack": (framed(b'{"a":' + b"[" * 200_000), "not JSON"),
    "a number of 10,000 digits": (framed(b'{"a":' + b"9" * 10_000 + b"}"), "not JSON"),
    "one name twice": (
        framed(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":1}', b"x"),
        "the key 'a' twice",
    ),
    "one field twice": (
        framed(b'{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}', b"x"),
        "the key 'dtype' twice",
    ),
    "metadata that is no object": (file_of({"__metadata__": [1]}), "__metadata__"),
    "metadata of numbers": (file_of({"__metadata__": {"a": 1}}), "__metadata__"),
    "half a surrogate as a name": (framed(b'{"\\ud800": {}}'), "not valid Unicode"),
    "an entry that is no object": (file_of({"a": 1}), "not an object of dtype"),
    "a missing field": (file_of({"a": {"dtype": "F32", "shape": [2]}}), "not an object of dtype"),
    "an extra field": (file_of({"a": {**entry(), "x": 1}}), "not an object of dtype"),
    "an unknown type": (file_of({"a": entry(dtype="F4")}), "unknown dtype 'F4'"),
    "a type that is a list": (file_of({"a": entry(dtype=[])}), "unknown dtype"),
    "a negative dimension": (file_of({"a": entry(shape=[-2])}), "list of up to"),
    "a fractional dimension": (file_of({"a": entry(shape=[2.0])}), "list of up to"),
    "a boolean dimension": (file_of({"a": entry(shape=[True])}), "list of up to"),
    "a shape that is a number": (file_of({"a": entry(shape=2)}), "list of up to"),
    "a hundred dimensions": (file_of({"a": entry(shape=[1] * 100)}), "list of up to"),
    "a dimension beyond 63 bits": (file_of({"a": entry(shape=[2**63])}), "list of up to"),
    "dimensions whose product overflows": (
        file_of({"a": entry(shape=[2**62, 4, 2**62])}),
        "its offsets span 8",
    ),
    "more elements than bytes": (file_of({"a": entry(shape=[3])}), "takes 12 bytes"),
    "fewer elements than bytes": (file_of({"a": entry(shape=[1])}), "takes 4 bytes"),
    "offsets reversed": (file_of({"a": entry(8, 0)}), "0 <= begin <= end"),
    "a negative offset": (file_of({"a": entry(-8, 0)}), "0 <= begin <= end"),
    "one offset": (file_of({"a": {**entry(), "data_offsets": [0]}}), "0 <= begin <= end"),
    "an offset beyond 63 bits": (file_of({"a": entry(2**64, 2**64 + 8)}), "0 <= begin <= end"),
    "data cut off": (file_of({"a": entry()}, 7), "it is cut off"),
    "an overlap": (file_of({"a": entry(0, 8), "b": entry(4, 12)}, 12), "'b' overlaps"),
    "two names for the same bytes": (file_of({"a": entry(), "b": entry()}), "'b' overlaps"),
    "a hole": (file_of({"a": entry(0, 8), "b": entry(12, 20)}, 20), "hole of 4 bytes"),
    "a hole at the front": (file_of({"a": entry(4, 12)}, 12), "hole of 4 bytes"),
    "bytes after the last tensor": (file_of({"a": entry()}, 9), "1 bytes after the last"),
    "bytes in a file without tensors": (file_of({}), "8 bytes after the last"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused_with_its_rule(lie: str, tmp_path: Path) -> None:
    content, rule = LIES[lie]
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConversionError) as caught:
        SafetensorsFile(path)
    assert rule in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    whole = safetensors({"a": np.ones((2, 3), np.float32), "b": np.ones(1, np.float16)})
    path = tmp_path / "a.safetensors"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ConversionError):
            SafetensorsFile(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"cannot open .*gone"):
        SafetensorsFile(tmp_path / "gone")


def test_tensors_come_back_as_they_were_written(tmp_path: Path) -> None:
    tensors: dict[str, Array] = {
        "f32": np.arange(6, dtype=np.float32).reshape(2, 3),
        "f16": np.array([1.5, -2], np.float16),
        "scalar": np.array(7, np.int32),
        "none": np.zeros((0, 4), np.float32),
        "flags": np.array([True, False]),
    }
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors(tensors, {"format": "pt"}))
    with SafetensorsFile(path) as file:
        assert file.metadata == {"format": "pt"}
        assert list(file.tensors) == list(tensors)
        for name, values in tensors.items():
            read = file.read(name)
            assert read.dtype == values.dtype
            np.testing.assert_array_equal(read, values)
        np.testing.assert_array_equal(file.read_stored("f32", 1, 2), [[3, 4, 5]])


def test_bfloat16_becomes_float32_exactly(tmp_path: Path) -> None:
    values = np.array([1.0, -0.15625, 3.0e38, 1e-40, 0.0], np.float32)
    stored = (values.view(np.uint32) >> 16).astype(np.uint16)
    header = {"a": {"dtype": "BF16", "shape": [5], "data_offsets": [0, 10]}}
    path = tmp_path / "a.safetensors"
    path.write_bytes(framed(json.dumps(header).encode(), stored.tobytes()))
    with SafetensorsFile(path) as file:
        for read in (file.read("a"), file.read_float32("a")):
            assert read.dtype == np.float32
            np.testing.assert_array_equal(read.view(np.uint32), stored.astype(np.uint32) << 16)


@pytest.mark.parametrize(
    ("dtype", "codes", "values"),
    [
        ("F8_E4M3", [0, 1, 8, 0x38, 0x7E, 0xB8, 0x80], [0, 2**-9, 2**-6, 1, 448, -1, -0.0]),
        ("F8_E5M2", [0, 1, 4, 0x3C, 0x7B, 0xBC, 0x7C], [0, 2**-16, 2**-14, 1, 57344, -1, np.inf]),
        ("F8_E4M3", [0x7F, 0xFF], [np.nan, np.nan]),
    ],
)
def test_floats_of_a_byte_become_float32(
    dtype: str, codes: list[int], values: list[float], tmp_path: Path
) -> None:
    header = {"a": {"dtype": dtype, "shape": [len(codes)], "data_offsets": [0, len(codes)]}}
    path = tmp_path / "a.safetensors"
    path.write_bytes(framed(json.dumps(header).encode(), bytes(codes)))
    with SafetensorsFile(path) as file:
        for read in (file.read("a"), file.read_float32("a"), next(file.blocks("a"))):
            np.testing.assert_array_equal(read, np.array(values, np.float32))


def test_integers_are_no_weights(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors({"ids": np.array([1], np.int32)}))
    with SafetensorsFile(path) as file, pytest.raises(ConversionError, match="'ids' is I32"):
        file.read_float32("ids")


def test_an_absent_tensor_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors({}))
    with SafetensorsFile(path) as file, pytest.raises(ConversionError, match="no tensor 'x'"):
        file.read("x")


def test_a_file_that_shrinks_while_it_is_open_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors({"a": np.ones(1000, np.float32)}))
    with SafetensorsFile(path) as file:
        with path.open("rb+") as other:
            other.truncate(200)
        with pytest.raises(ConversionError, match="'a': the file became shorter"):
            file.read("a")


def test_arrays_outlive_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(safetensors({"a": np.ones(3, np.float32)}))
    with SafetensorsFile(path) as file:
        values = file.read("a")
    path.unlink()
    np.testing.assert_array_equal(values, [1, 1, 1])


def test_random_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    whole = safetensors({"a": np.ones((2, 3), np.float32), "b": np.ones(4, np.float16)}, {"k": "v"})
    n_header = int.from_bytes(whole[:8], "little")
    path, rng = tmp_path / "a.safetensors", random.Random(0)
    for _ in range(1000):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(8 + n_header)] = rng.choice(b'"0129{}[]:,-\\x\xff') & 255
        path.write_bytes(damaged)
        with contextlib.suppress(ConversionError), SafetensorsFile(path) as file:
            for name in file.tensors:
                file.read(name)


def test_one_name_twice_among_many_is_found_at_once(tmp_path: Path) -> None:
    """Counting every key for every key took a minute for this one."""
    entries = b",".join(b'"k%d":1' % i for i in range(200_000))
    path = tmp_path / "a.safetensors"
    path.write_bytes(framed(b"{" + entries + b',"k199999":1}'))
    with pytest.raises(ConversionError, match="the key 'k199999' twice"):
        SafetensorsFile(path)


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        (b'{"a":[' + b"[]," * 3_000_000 + b"[]]}", "MB of memory"),
        (b"{" + b",".join(b'"t%d":1' % i for i in range(100_001)) + b"}", "lists 100001 tensors"),
        (b'{"' + b"n" * 500_000 + b'":1}', "the name has 500000 characters"),
        (b'{"a":1,"' + b"n" * 500_000 + b'":1,"' + b"n" * 500_000 + b'":2}', "twice"),
    ],
    ids=["empty lists", "too many tensors", "a name of 500 kB", "a name of 500 kB, twice"],
)
def test_a_header_out_of_proportion_is_refused_in_a_few_words(
    header: bytes, rule: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(framed(header))
    with pytest.raises(ConversionError, match=rule) as caught:
        SafetensorsFile(path)
    assert len(str(caught.value)) < 600

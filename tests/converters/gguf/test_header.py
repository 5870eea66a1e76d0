from __future__ import annotations

import contextlib
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFWriter
from hivellm_lite.converters.gguf import header as gguf_header
from hivellm_lite.converters.gguf.header import read_gguf_header

from hivellm_lite.errors import ConversionError


def write(path: Path, *, n_ff: int = 6, dtype: Any = np.float32, name: str = "a.weight") -> Path:
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_name("x")
    writer.add_bool("a.flag", True)
    writer.add_float64("a.double", 0.5)
    writer.add_token_list(["a", "", "long" * 30])
    writer.add_token_types([1, 1, 3])
    writer.add_tensor(name, np.ones((n_ff, 4), dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def key(name: bytes, code: int, value: bytes) -> bytes:
    return string(name) + struct.pack("<I", code) + value


ARCHITECTURE = key(b"general.architecture", 8, string(b"llama"))


def gguf(keys: list[bytes], tensors: list[bytes] = [], *, version: int = 3) -> bytes:  # noqa: B006
    front = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(keys))
    return front + b"".join(keys) + b"".join(tensors)


def tensor(name: bytes = b"t", shape: tuple[int, ...] = (4,), code: int = 0, at: int = 0) -> bytes:
    dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return string(name) + dims + struct.pack("<IQ", code, at)


LIES = {
    "another format": (b"PK\3\4" + bytes(40), "not a GGUF file"),
    "version 1": (gguf([], version=1), "GGUF version 1;"),
    "big endian": (gguf([], version=3 << 24), "big-endian"),
    "a trillion tensors": (struct.pack("<4sIQQ", b"GGUF", 3, 10**12, 0), "claims 1000000000000 t"),
    "a trillion keys": (struct.pack("<4sIQQ", b"GGUF", 3, 0, 10**12), "metadata keys"),
    "no architecture": (gguf([]), "general.architecture is missing"),
    "an architecture that is a number": (
        gguf([key(b"general.architecture", 4, bytes(4))]),
        "general.architecture is missing",
    ),
    "a key twice": (gguf([ARCHITECTURE, ARCHITECTURE]), "occurs twice"),
    "an unknown value type": (gguf([key(b"k", 99, b"")]), "k has the unknown type 99"),
    "a key longer than the file": (gguf([struct.pack("<Q", 2**60)]), "more than the file has"),
    "a key that is not UTF-8": (gguf([key(b"\xff", 4, bytes(4))]), "not UTF-8"),
    "an array longer than the file": (
        gguf([key(b"k", 9, struct.pack("<IQ", 4, 2**50))]),
        "k claims 1125899906842624 elements",
    ),
    "an array of arrays": (gguf([key(b"k", 9, struct.pack("<IQ", 9, 1))]), "unsupported type 9"),
    "strings that jump out of the file": (
        gguf([key(b"k", 9, struct.pack("<IQQ", 8, 2, 2**64 - 1) + bytes(64))]),
        "ends inside its header",
    ),
    "a last string that jumps out": (
        gguf([key(b"k", 9, struct.pack("<IQQ", 8, 1, 1000) + bytes(64))]),
        "ends inside its header",
    ),
    "an odd alignment": (
        gguf([ARCHITECTURE, key(b"general.alignment", 4, struct.pack("<I", 24))]),
        "power of two",
    ),
    "a tensor twice": (gguf([ARCHITECTURE], [tensor(), tensor(at=32)]), "'t' occurs twice"),
    "five dimensions": (gguf([ARCHITECTURE], [tensor(shape=(1,) * 5)]), "has 5 dimensions"),
    "no dimension": (gguf([ARCHITECTURE], [tensor(shape=())]), "has 0 dimensions"),
    "a dimension of zero": (gguf([ARCHITECTURE], [tensor(shape=(0, 4))]), "impossible shape"),
    "dimensions that overflow": (
        gguf([ARCHITECTURE], [tensor(shape=(2**40, 2**40))]),
        "impossible shape",
    ),
    "a crooked offset": (gguf([ARCHITECTURE], [tensor(at=3)]), "not a multiple of 32"),
    "data behind the end": (gguf([ARCHITECTURE], [tensor()]), "'t' ends after the end"),
    "a row that is no block": (gguf([ARCHITECTURE], [tensor(code=8)]), "rows of 4 cannot be Q8_0"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_is_refused_with_its_rule(lie: str, tmp_path: Path) -> None:
    content, rule = LIES[lie]
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(ConversionError) as caught:
        read_gguf_header(path)
    assert rule in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_cut_at_any_byte_is_refused(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.gguf").read_bytes()
    path = tmp_path / "cut.gguf"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ConversionError):
            read_gguf_header(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"cannot open .*gone"):
        read_gguf_header(tmp_path / "gone")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    header = read_gguf_header(write(tmp_path / "a.gguf"))
    assert header.architecture == "llama"
    assert header.metadata["a.flag"] is True
    assert header.metadata["a.double"] == 0.5
    assert header.metadata["general.name"] == "x"
    assert (header.n_vocab, header.n_layers, header.version) == (3, 2, 3)
    assert header.array_lengths["tokenizer.ggml.token_type"] == 3
    (found,) = header.tensors.values()
    assert (found.name, found.shape, found.type_name) == ("a.weight", (6, 4), "F32")


def test_a_long_header_is_read_in_several_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.gguf")
    expected = read_gguf_header(path)
    monkeypatch.setattr(gguf_header, "FIRST_READ_BYTES", 10)
    assert read_gguf_header(path) == expected


def test_a_type_that_is_newer_than_the_gguf_package_is_left_to_llama_cpp(tmp_path: Path) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(gguf([ARCHITECTURE], [tensor(code=9999)]))
    assert read_gguf_header(path).tensors["t"].type_name == "type 9999"


def test_a_missing_hyper_parameter_is_named(tmp_path: Path) -> None:
    header = read_gguf_header(write(tmp_path / "a.gguf"))
    with pytest.raises(ConversionError, match=r"llama\.attention\.head_count is None"):
        header.hyper_parameter("attention.head_count")


def test_the_layout_digest_ignores_types_and_sees_shapes_and_names(tmp_path: Path) -> None:
    def digest(file: str, **changes: Any) -> str:
        return read_gguf_header(write(tmp_path / file, **changes)).layout_digest

    plain = digest("a")
    assert digest("b", dtype=np.float16) == plain
    assert digest("c", n_ff=8) != plain
    assert digest("d", name="b.weight") != plain


def test_the_header_agrees_with_the_gguf_package(tiny_base: Path) -> None:
    from gguf import GGUFReader

    header, reader = read_gguf_header(tiny_base), GGUFReader(tiny_base)
    assert header.data_offset == reader.data_offset
    for theirs in reader.tensors:
        ours = header.tensors[theirs.name]
        assert ours.shape == tuple(int(n) for n in theirs.shape)[::-1]
        assert GGMLQuantizationType[ours.type_name] == theirs.tensor_type
        assert header.data_offset + ours.offset == theirs.data_offset


def test_random_damage_is_refused_or_harmless(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.gguf").read_bytes()
    path, rng = tmp_path / "damaged.gguf", random.Random(0)
    for _ in range(1000):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.choice((0, 1, 8, 9, 127, 128, 255))
        path.write_bytes(damaged)
        with contextlib.suppress(ConversionError):
            read_gguf_header(path)

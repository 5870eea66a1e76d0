"""Files of ``torch.save``: their tensors are read, everything else is refused, nothing is run."""

from __future__ import annotations

import io
import os
import pickle
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hivellm_lite.converters.torch_zip.archive import read_torch_matrix

from hivellm_lite.errors import ConversionError

from ...support.paths import FIXTURES

FILES = FIXTURES / "soft_prompts" / "torch"
ROWS = np.load(FIXTURES / "soft_prompts" / "reference.npz")["rows"]


@pytest.mark.parametrize("name", ["parameter.pt", "view.pth", "state.pt"])
def test_float32_is_read_exactly(name: str) -> None:
    assert np.array_equal(read_torch_matrix(FILES / name), ROWS)


def test_float16_is_read_exactly() -> None:
    found = read_torch_matrix(FILES / "half.bin")  # which has a step and a number beside it
    assert np.array_equal(found, ROWS.astype(np.float16).astype(np.float32))


def test_a_transposed_bfloat16_is_read() -> None:
    found = read_torch_matrix(FILES / "transposed.pt")
    assert found.shape == ROWS.shape
    assert found.flags.c_contiguous
    assert np.allclose(found, ROWS, rtol=2**-8)
    assert not (found.view(np.uint32) & 0xFFFF).any()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("module.pt", r"names 'torch\.nn\.modules\.linear\.Linear', which is not run"),
        ("double.pt", r"names 'torch\.DoubleStorage'"),
        ("sparse.pt", r"names 'torch\._utils\._rebuild_sparse_tensor'"),
        ("before-1.6.pt", "is no zip"),
        ("protocol-4.pt", "the instruction FRAME"),
    ],
)
def test_what_pytorch_writes_beside_plain_tensors_is_refused(name: str, why: str) -> None:
    with pytest.raises(ConversionError, match=why):
        read_torch_matrix(FILES / name)


# --- files of strangers --------------------------------------------------------------


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def tensor(
    shape: tuple[int, ...] = (2, 3),
    strides: tuple[int, ...] = (3, 1),
    *,
    offset: int = 0,
    n_elements: int = 6,
    kind: str = "FloatStorage",
    key: str = "0",
) -> bytes:
    """Instructions that leave a tensor on the stack."""
    storage = text("storage") + b"ctorch\n" + kind.encode() + b"\n" + text(key) + text("cpu")
    sizes = b"(" + b"".join(map(number, shape)) + b"t"
    steps = b"(" + b"".join(map(number, strides)) + b"t"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + (b"(" + storage + number(n_elements) + b"tQ")
        + (number(offset) + sizes + steps + b"\x89ccollections\nOrderedDict\n)RtR")
    )


def program(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def torch_file(
    folder: Path,
    body: bytes,
    members: Mapping[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    path = folder / "x.pt"
    data = {"byteorder": b"little", "data/0": np.arange(6, dtype="<f4").tobytes()}
    with zipfile.ZipFile(path, "w", compression) as file:
        file.writestr("x/data.pkl", program(body))
        for name, content in {**data, **(members or {})}.items():
            file.writestr(f"x/{name}", content)
    return path


def test_the_smallest_file_is_read(tmp_path: Path) -> None:
    found = read_torch_matrix(torch_file(tmp_path, tensor()))
    assert np.array_equal(found, np.arange(6, dtype="f4").reshape(2, 3))


@pytest.mark.parametrize(
    "made",
    [
        pickle.dumps(os.system, 2),
        pickle.dumps(pickle.loads, 2),
        b"\x80\x02cos\nsystem\n" + text("touch pwned") + b"\x85R.",
        b"\x80\x02c__builtin__\neval\n" + text("1") + b"\x85R.",
        b"\x80\x02ctorch\nload\n)R.",
        b"\x80\x02ctorch._utils\n_rebuild_device_tensor_from_numpy\n)R.",
        b"\x80\x02ccollections\nOrderedDict.__init__\n.",
        b"\x80\x02ccollections \nOrderedDict\n.",
    ],
)
def test_a_name_that_is_not_known_is_never_imported(made: bytes, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="which is not run"):
        read_torch_matrix(torch_file(tmp_path, made[2:-1]))
    assert not Path("pwned").exists()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"ios\nsystem\n", "INST"),
        (b"(cos\n", "damaged"),
        (b"o", "OBJ"),
        (b")\x81", "NEWOBJ"),
        (b"P0\n", "PERSID"),
        (b"I1\n", "INT"),
        (b"S'a'\n", "STRING"),
        (b"2", "DUP"),
        (b"0", "POP"),
        (b"\x82\x01", "EXT1"),
        (b"\x93", "STACK_GLOBAL"),
        (b"\x96" + b"\x00" * 8, "BYTEARRAY8"),
        (b"", "damaged"),
        (b"R", "damaged"),
        (b"t", "no mark"),
        (b"(Q", "takes a mark"),
        (b"h\x05", "damaged"),
        (b"NQ", "no storage of floats"),
        (b"NNR", "calls something that is no name"),
        (b"ctorch\nFloatStorage\n)R", r"calls torch\.FloatStorage with other values"),
        (b"ccollections\nOrderedDict\nN\x85R", r"calls collections\.OrderedDict"),
        (b"ctorch._utils\n_rebuild_parameter\nN\x85R", "_rebuild_parameter with other values"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n)R", "_rebuild_tensor_v2 with other values"),
        (b"}NNs", "keys that are no texts"),
        (b"}(Nu", "a key without a value"),
        (b"]" + text("a") + b"Ns", "no dict"),
        (b"}Na", "no list"),
        (b"}Nb", "attributes that are no dict"),
        (b"N}b", "no dict"),
        (b"N" * 30_000, "more than 20000 instructions"),
        (b"X\xff\xff\xff\x7f", "damaged"),
        (b"\x8a\xff", "damaged"),
    ],
)
def test_every_other_instruction_is_refused(body: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=why):
        read_torch_matrix(torch_file(tmp_path, body))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (tensor(offset=1), "does not lie in"),
        (tensor(offset=-1), "impossible"),
        (tensor((-2, 3)), "impossible"),
        (tensor(strides=(-3, 1)), "impossible"),
        (tensor(strides=(1,)), "impossible"),
        (tensor(strides=(4, 1)), "does not lie in"),
        (tensor((0, 3)), "is empty"),
        (tensor((2048, 65536), (0, 0)), "does not lie in"),
        (tensor((2**40, 2**40), (0, 0)), "does not lie in"),
        (tensor(n_elements=7), "the file holds 24 bytes"),
        (tensor(n_elements=5), "does not lie in"),
        (tensor((2, 2), (2, 1), n_elements=5), "the file holds 24 bytes"),
        (tensor((1, 9 << 20), (0, 2), n_elements=20 << 20), "more than 64 MiB"),
        (tensor(n_elements=2**40), "its storage more than 256 MiB"),
        (tensor(n_elements=-6), "does not lie in"),
        (tensor((2**900, 1), (0, 0)), "more than 2"),
        (tensor(kind="HalfStorage"), "the file holds 24 bytes"),
        (tensor(kind="LongStorage"), "LongStorage"),
        (tensor(key="../../x/data.pkl"), "has no member"),
        (tensor(key="1"), "has no member 'data/1'"),
    ],
)
def test_tensors_that_the_file_does_not_hold_are_refused(
    made: bytes, why: str, tmp_path: Path
) -> None:
    with pytest.raises(ConversionError, match=why):
        read_torch_matrix(torch_file(tmp_path, made))


def test_a_view_of_a_large_storage_takes_only_its_part(tmp_path: Path) -> None:
    numbers = np.arange(2 << 20, dtype="<f4")
    made = tensor((2, 3), (1000, 2), offset=1 << 20, n_elements=len(numbers))
    tracemalloc.start()
    found = read_torch_matrix(torch_file(tmp_path, made, {"data/0": numbers.tobytes()}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    start = 1 << 20
    assert np.array_equal(found, start + np.array([[0, 2, 4], [1000, 1002, 1004]], "f4"))
    assert peak < 40 << 20  # of which 24 MB are the test's own


def test_big_endian_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="byte order b'big'"):
        read_torch_matrix(torch_file(tmp_path, tensor(), {"byteorder": b"big"}))


def test_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = torch_file(tmp_path, tensor())
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("x/data/0", bytes(24))
    with pytest.raises(ConversionError, match="two members of one name"):
        read_torch_matrix(path)


def test_two_descriptions_are_refused(tmp_path: Path) -> None:
    path = torch_file(tmp_path, tensor())
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("y/data.pkl", program(tensor()))
    with pytest.raises(ConversionError, match=r"no data\.pkl in one folder"):
        read_torch_matrix(path)


def test_a_compressed_member_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    zeros = {"data/0": bytes(8 << 20)}
    path = torch_file(tmp_path, tensor(n_elements=2 << 20), zeros, zipfile.ZIP_DEFLATED)
    with pytest.raises(ConversionError, match="compressed"):
        read_torch_matrix(path)


def test_a_large_description_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="262144 are allowed"):
        read_torch_matrix(torch_file(tmp_path, text("a" * 300_000)))


def test_a_zip_with_a_large_table_of_contents_is_refused(tmp_path: Path) -> None:
    path = torch_file(tmp_path, tensor(), {f"data/{i:0100}": b"" for i in range(2000)})
    with pytest.raises(ConversionError, match="table of contents"):
        read_torch_matrix(path)


def test_a_member_of_two_sizes_is_refused(tmp_path: Path) -> None:
    path = torch_file(tmp_path, tensor())
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<II", 24, 24), struct.pack("<II", 20, 24)))
    with pytest.raises(ConversionError, match="two sizes"):
        read_torch_matrix(path)


def test_a_member_that_claims_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    path = torch_file(tmp_path, tensor())
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<II", 24, 24), struct.pack("<II", 2400, 2400)))
    with pytest.raises(ConversionError):
        read_torch_matrix(path)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b"](" + tensor() + b"e", "no"),
        (b"K\x01", "no"),
        (tensor((6,), (1,)), "no"),
        (tensor((1, 2, 3), (6, 3, 1)), "no"),
        (b"}(" + text("a") + tensor() + text("b") + tensor() + b"u", "2"),
    ],
)
def test_anything_but_one_matrix_is_refused(body: bytes, count: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=f"holds {count} matrices"):
        read_torch_matrix(torch_file(tmp_path, body))


def test_nesting_without_end_takes_neither_time_nor_memory(tmp_path: Path) -> None:
    doubled = b")q\x00" + b"h\x00h\x00\x86q\x00" * 4000
    with pytest.raises(ConversionError, match="no matrices"):
        read_torch_matrix(torch_file(tmp_path, doubled))
    with pytest.raises(ConversionError, match="calls something"):
        read_torch_matrix(torch_file(tmp_path, doubled + b"h\x00R"))


def test_a_missing_file_and_a_folder_are_errors(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pt", tmp_path):
        with pytest.raises(ConversionError, match="cannot be read"):
            read_torch_matrix(path)


def test_no_change_of_a_file_is_more_than_an_error(tmp_path: Path) -> None:
    rng = random.Random(5)
    original = (FILES / "parameter.pt").read_bytes()
    path = tmp_path / "changed.pt"
    n_read = 0
    for _ in range(600):
        data = bytearray(original)
        for _ in range(rng.choice((1, 1, 2, 8))):
            place = rng.randrange(len(data))
            kind = rng.random()
            if kind < 0.6:
                data[place] = rng.randrange(256)
            elif kind < 0.8:
                del data[place : place + rng.randrange(1, 40)]
            else:
                data[place:place] = rng.randbytes(rng.randrange(1, 40))
        path.write_bytes(data)
        try:
            found = read_torch_matrix(path)
        except ConversionError:
            continue
        n_read += 1
        assert found.size <= 448
    assert n_read > 50  # of padding and the like


def test_no_program_is_more_than_an_error(tmp_path: Path) -> None:
    """The same for the description, with checksums that are right."""
    rng = random.Random(6)
    body = b"}(" + text("a") + tensor() + text("b") + b"](K\x01Ne" + b"u"
    for _ in range(600):
        data = bytearray(body)
        for _ in range(rng.choice((1, 1, 2, 5))):
            place = rng.randrange(len(data))
            data[place] = rng.choice((rng.randrange(256), data[rng.randrange(len(data))]))
        path = torch_file(tmp_path, bytes(data))
        try:
            found = read_torch_matrix(path)
        except ConversionError:
            continue
        assert found.size <= 6


def test_the_reader_never_unpickles(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, fail)
    assert read_torch_matrix(FILES / "parameter.pt").shape == (7, 64)
    with pytest.raises(AssertionError):
        pickle.load(io.BytesIO(b"N."))

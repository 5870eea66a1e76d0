"""Reads ``.safetensors`` files and trusts nothing in them.

A file consists of eight bytes with the header's length, a JSON header, and one block of data that
holds the tensors back to back. Everything the header claims is checked against the file before any
tensor is read. Every false claim has its own error, which names the file, the tensor and the rule.

Tensors are read from the file, not through a memory map. A file that shrinks while it is mapped
ends the process; here it raises an error.

Format: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import functools
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ..errors import ConversionError
from .json_file import parse_json

__all__ = ["Array", "Float32Array", "SafetensorsFile", "TensorInfo", "to_bfloat16", "to_float32"]

MAX_HEADER_BYTES = 16_000_000
"""The header of a 70B model takes 0.1 MB, the header of a mixture of 256 experts in one file
13 MB."""

MAX_HEADER_MEMORY = 200 << 20
"""Memory that the header's values may take. 100,000 tensors take half of it."""

MAX_TENSORS = 100_000
"""The largest mixture of experts, saved in one file, has 90,000."""

MAX_NAME_LENGTH = 500
"""Characters of a tensor's name. Real names have up to a hundred."""

MAX_DIMENSIONS = 8
"""No tensor of a language model has as many."""

DTYPES: Mapping[str, str] = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",  # numpy has no bfloat16: the upper half of a float32
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
    # numpy has no floats of a byte.
    "F8_E4M3": "|u1",
    "F8_E5M2": "|u1",
    "F8_E8M0": "|u1",
}
"""The numpy type that holds the bits of each element type, by its name in safetensors."""

FLOATS_OF_A_BYTE = frozenset({"F8_E4M3", "F8_E5M2"})

FLOATS = frozenset({"F64", "F32", "F16", "BF16"}) | FLOATS_OF_A_BYTE
"""Types that are read as float32. F8_E8M0 holds scales alone."""

Array = npt.NDArray[np.generic]
"""An array of any type of numbers."""
Float32Array = npt.NDArray[np.float32]
"""An array of float32."""


@dataclass(frozen=True)
class TensorInfo:
    """One entry of the header. ``begin`` and ``end`` count bytes from the start of the data."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def n_elements(self) -> int:
        """Number of elements; 1 for a scalar."""
        return math.prod(self.shape)


def to_float32(values: Array, dtype: str) -> Float32Array:
    """Elements of the type ``dtype``, stored as `DTYPES` says, as float32.

    The result is exact for all but F64. A float64 beyond float32's range becomes infinite.
    """
    if dtype == "BF16":
        return (values.astype(np.uint32) << 16).view(np.float32)
    if dtype in FLOATS_OF_A_BYTE:
        return _byte_floats(dtype)[values.view(np.uint8)]
    with np.errstate(over="ignore", invalid="ignore"):  # as in PyTorch
        return values.astype(np.float32, copy=False)


def to_bfloat16(values: Float32Array) -> Array:
    """Finite values rounded to the nearest bfloat16, ties to even, by arithmetic on their bits."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounding = (bits >> 16) & 1
    rounding += 0x7FFF
    rounding += bits
    rounding >>= 16
    return rounding.astype(np.uint16)


@functools.cache
def _byte_floats(dtype: str) -> Float32Array:
    """The 256 values of a float of one byte. E4M3 has no infinity, E5M2 is half a float16.

    Source: FP8 Formats for Deep Learning (arXiv 2209.05433).
    """
    codes = np.arange(256, dtype=np.uint16)
    if dtype == "F8_E5M2":
        return (codes << 8).view(np.float16).astype(np.float32)
    exponent, mantissa = (codes >> 3) & 15, (codes & 7).astype(np.float32)
    normal = np.ldexp(1 + mantissa / 8, exponent.astype(np.int32) - 7)
    values = np.where(exponent == 0, np.ldexp(mantissa / 8, -6), normal).astype(np.float32)
    values[(codes & 127) == 127] = np.nan
    return np.where(codes & 128, -values, values)


class SafetensorsFile:
    """One open safetensors file. Use it as a context manager.

    ::

        with SafetensorsFile(path) as file:
            weights = file.read_float32("model.norm.weight")

    ``tensors`` holds the header's entries by name, ``metadata`` its texts. Opening raises
    ConversionError if the file cannot be opened or is malformed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._file = self.path.open("rb", buffering=0)
        except OSError as error:
            raise ConversionError(f"cannot open {self.path}: {error.strerror or error}") from error
        try:
            self._parse()
        except BaseException:
            self._file.close()
            raise

    def _parse(self) -> None:
        size = os.fstat(self._file.fileno()).st_size
        prefix = self._file.read(8)
        if len(prefix) < 8:
            self._fail(f"has {size} bytes; a safetensors file has at least 8")
        n_header = int.from_bytes(prefix, "little")
        if n_header > MAX_HEADER_BYTES:
            self._fail(f"claims a header of {n_header} bytes; {MAX_HEADER_BYTES} are allowed")
        if n_header > size - 8:
            self._fail(
                f"claims a header of {n_header} bytes, but only {size - 8} follow its length"
            )
        raw = self._file.read(n_header)
        header = _parse_header(self, raw)
        metadata = header.pop("__metadata__", {})
        if len(header) > MAX_TENSORS:
            self._fail(f"lists {len(header)} tensors; {MAX_TENSORS} are allowed")
        if not isinstance(metadata, dict) or not all(
            isinstance(value, str) for value in metadata.values()
        ):
            self._fail("__metadata__ is not an object of strings")
        self.metadata: Mapping[str, str] = metadata
        self.tensors: Mapping[str, TensorInfo] = {
            name: _parse_tensor(self, name, entry) for name, entry in header.items()
        }
        self._data_start = 8 + n_header
        self._check_layout(size - self._data_start)

    def _check_layout(self, n_data: int) -> None:
        """Check that the tensors cover every byte of the data exactly once."""
        position = 0
        order = sorted(self.tensors.items(), key=lambda item: (item[1].begin, item[1].end))
        for name, info in order:
            if info.end > n_data:
                self._fail(
                    f"tensor {name!r} ends at byte {info.end} of the data, "
                    f"the file holds {n_data}: it is cut off"
                )
            if info.begin < position:
                self._fail(f"tensor {name!r} overlaps the one before it")
            if info.begin > position:
                self._fail(f"hole of {info.begin - position} bytes before tensor {name!r}")
            position = info.end
        if position < n_data:
            self._fail(f"{n_data - position} bytes after the last tensor belong to no tensor")

    def _fail(self, what: str) -> NoReturn:
        raise ConversionError(f"{self.path}: {what}")

    def info(self, name: str) -> TensorInfo:
        """The header entry of ``name``. Raises ConversionError if the file has none."""
        try:
            return self.tensors[name]
        except KeyError:
            self._fail(f"has no tensor {name!r}")

    def read(self, name: str) -> Array:
        """The tensor in its own type. BF16 and F8, which numpy lacks, become float32."""
        info = self.info(name)
        values = self.read_stored(name)
        lacks = info.dtype == "BF16" or info.dtype in FLOATS_OF_A_BYTE
        return to_float32(values, info.dtype) if lacks else values

    def read_float32(self, name: str) -> Float32Array:
        """The tensor as float32. Raises ConversionError for integers and booleans."""
        info = self._float_info(name)
        return to_float32(self.read_stored(name), info.dtype)

    def _float_info(self, name: str) -> TensorInfo:
        info = self.info(name)
        if info.dtype not in FLOATS:
            self._fail(f"tensor {name!r} is {info.dtype}, expected one of {', '.join(FLOATS)}")
        return info

    def blocks(self, name: str, n_elements: int = 1 << 20) -> Iterator[Float32Array]:
        """The elements as float32 in the order of the file, at most ``n_elements`` at a time.

        Blocks are flat, whatever the tensor's shape. Raises ConversionError for integers and
        booleans.
        """
        info = self._float_info(name)
        dtype = np.dtype(DTYPES[info.dtype])
        for start in range(0, info.n_elements, n_elements):
            values = np.empty(min(n_elements, info.n_elements - start), dtype)
            self._read_into(name, values, self._data_start + info.begin + start * dtype.itemsize)
            yield to_float32(values, info.dtype)

    def read_stored(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """Rows ``start:stop`` of the first dimension, as the file stores them: BF16 as uint16."""
        info = self.info(name)
        dtype = np.dtype(DTYPES[info.dtype])
        shape, offset = info.shape, 0
        if info.shape:
            stop = info.shape[0] if stop is None else stop
            row_bytes = math.prod(info.shape[1:]) * dtype.itemsize
            shape, offset = (stop - start, *info.shape[1:]), start * row_bytes
        values = np.empty(shape, dtype)
        self._read_into(name, values, self._data_start + info.begin + offset)
        return values

    def _read_into(self, name: str, values: Array, offset: int) -> None:
        view = values.reshape(-1).view(np.uint8).data
        self._file.seek(offset)
        while len(view):
            n_read = self._file.readinto(view)
            if not n_read:
                self._fail(f"tensor {name!r}: the file became shorter while it was read")
            view = view[n_read:]

    def close(self) -> None:
        """Close the file. Arrays that were read stay valid."""
        self._file.close()

    def __enter__(self) -> SafetensorsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _parse_header(file: SafetensorsFile, raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            twice = next(key for key, count in counts.items() if count > 1)
            file._fail(f"the header has the key {twice!r:.200} twice")
        return result

    if not raw.startswith(b"{"):
        file._fail("the header does not begin with '{'")
    try:
        header = parse_json(raw, max_memory=MAX_HEADER_MEMORY, pairs_hook=unique)
    except UnicodeDecodeError as error:
        file._fail(f"the header is not UTF-8: {error.reason} at byte {error.start}")
    except ValueError as error:
        file._fail(f"the header is not JSON: {error}")
    assert isinstance(header, dict)  # it began with '{'  # noqa: S101
    return header


def _parse_tensor(file: SafetensorsFile, name: str, entry: object) -> TensorInfo:
    where = f"tensor {name!r:.200}"
    if len(name) > MAX_NAME_LENGTH:
        file._fail(f"{where}…: the name has {len(name)} characters; {MAX_NAME_LENGTH} are allowed")
    try:
        name.encode()
    except UnicodeEncodeError:
        file._fail(f"{where}: the name is not valid Unicode")
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        file._fail(f"{where}: the entry is not an object of dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        file._fail(f"{where}: unknown dtype {dtype!r:.50}; known are {', '.join(DTYPES)}")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        file._fail(f"{where}: the shape is not a list of up to {MAX_DIMENSIONS} sizes")
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        file._fail(f"{where}: data_offsets is not [begin, end] with 0 <= begin <= end")
    info = TensorInfo(dtype, tuple(shape), offsets[0], offsets[1])
    n_bytes = info.n_elements * np.dtype(DTYPES[dtype]).itemsize
    if n_bytes != info.end - info.begin:
        file._fail(
            f"{where}: {dtype} of shape {list(shape)} takes {n_bytes} bytes, "
            f"its offsets span {info.end - info.begin}"
        )
    return info


def _are_sizes(value: object) -> bool:
    # In Python a bool is an int too. File offsets end at 2**63.
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)

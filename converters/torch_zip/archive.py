"""Reads the matrix of a file that ``torch.save`` wrote, if it is one of plain floats.

Since version 1.6 PyTorch writes a zip without compression: ``NAME/data.pkl`` describes the object,
``NAME/data/0`` and so on hold the numbers. The description is interpreted (`instructions`), never
unpickled. What it claims of a tensor is compared with the file before anything is allocated.

Source: ``torch/serialization.py``, ``caffe2/serialize/inline_container.cc``.
"""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np

from ...errors import ConversionError
from ...storage.bounded_reads import BoundedReads
from ..safetensors import DTYPES, Float32Array, to_float32
from .instructions import RefusedPickle, StoredTensor, interpret

__all__ = ["read_torch_matrix"]

MAX_PROGRAM_BYTES = 256 << 10
"""``data.pkl`` of one parameter has 202 bytes."""

MAX_DIRECTORY_BYTES = 256 << 10
"""The zip's table of contents, and whatever else is read in one piece. Seven members take 600."""

MAX_STORAGE_BYTES = 256 << 20
"""A storage may be larger than the tensor: PyTorch saves all of it with a view of some rows."""

MAX_MATRIX_BYTES = 64 << 20
"""A soft prompt of 1,024 tokens for a model of 16,384 numbers takes as much in float32."""

_CHUNK = 64 << 10
_ZIP = b"PK\x03\x04"

_DAMAGE = (
    *(zipfile.BadZipFile, OSError, EOFError, NotImplementedError),
    *(ValueError, LookupError, RuntimeError, ArithmeticError),
)
"""What zipfile raises on a damaged or unusual zip; struct.error is a ValueError."""


def read_torch_matrix(path: Path) -> Float32Array:
    """The only two-dimensional tensor that a file holds, as itself or in a dict.

    Raises ConversionError for a file of another kind, for a description with anything but tensors
    and plain values, and for a tensor that the file does not hold as described.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_ZIP)) != _ZIP:
                _fail(
                    path,
                    "is no zip, as torch.save has written since version 1.6: an older pickle could "
                    "run code and is not opened",
                )
            return _TorchFile(path, file).matrix()
    except RefusedPickle as error:
        _fail(path, f"the pickle inside is not read: {error}")
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read: {error.strerror or error}") from None


def _fail(path: Path, what: str) -> NoReturn:
    raise ConversionError(
        f"{path}: {what}\nSave the tensor again as safetensors, or with torch.save(tensor, path)."
    )


def _large_directory() -> ValueError:
    return ValueError(f"a table of contents of over {MAX_DIRECTORY_BYTES >> 10} KiB")


class _TorchFile:
    """One open file, while it is read."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(BoundedReads(file, MAX_DIRECTORY_BYTES, _large_directory))
        except _DAMAGE as error:
            _fail(path, f"is a damaged zip ({error})")
        names = [info.orig_filename for info in self._zip.infolist()]
        if len(set(names)) < len(names):
            _fail(path, "has two members of one name")
        self._members = dict(zip(names, self._zip.infolist(), strict=True))
        programs = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(programs) != 1:
            _fail(path, "is a zip, but none of torch.save: it has no data.pkl in one folder")
        self._folder = programs[0].removesuffix("data.pkl")

    def matrix(self) -> Float32Array:
        if f"{self._folder}byteorder" in self._members:
            order = self._read("byteorder", 16)
            if order != b"little":
                _fail(self._path, f"was written in the byte order {order!r:.30}, not little-endian")
        described = interpret(self._read("data.pkl", MAX_PROGRAM_BYTES))
        values = described.values() if isinstance(described, dict) else [described]
        matrices = [one for one in values if isinstance(one, StoredTensor) and len(one.shape) == 2]
        if len(matrices) != 1:
            _fail(self._path, f"holds {len(matrices) or 'no'} matrices; one is expected")
        return self._tensor(matrices[0])

    def _tensor(self, tensor: StoredTensor) -> Float32Array:
        """A copy of the view ``tensor``."""
        storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
        dtype = np.dtype(DTYPES[storage.dtype])
        what = f"a tensor of shape {[_shown(n) for n in shape]} in storage {storage.key!r:.40}"
        if len(strides) != len(shape) or tensor.offset < 0 or min((*shape, *strides)) < 0:
            _fail(self._path, f"{what} has impossible sizes or strides")
        n_elements = math.prod(shape)
        end = 1 + tensor.offset + sum((n - 1) * by for n, by in zip(shape, strides, strict=True))
        if n_elements == 0 or n_elements > end - tensor.offset or end > storage.n_elements:
            _fail(
                self._path,
                f"{what} does not lie in its {_shown(storage.n_elements)} numbers, or is empty",
            )
        n_bytes = storage.n_elements * dtype.itemsize
        if n_bytes > MAX_STORAGE_BYTES or (end - tensor.offset) * dtype.itemsize > MAX_MATRIX_BYTES:
            _fail(
                self._path,
                f"{what} has more than {MAX_MATRIX_BYTES >> 20} MiB, or its storage more than "
                f"{MAX_STORAGE_BYTES >> 20} MiB",
            )
        name = f"data/{storage.key}"
        if (held := self._member(name).file_size) != n_bytes:
            _fail(
                self._path,
                f"{what} should have {storage.n_elements} numbers of {dtype.itemsize} bytes; "
                f"the file holds {held} bytes",
            )
        part = slice(tensor.offset * dtype.itemsize, end * dtype.itemsize)
        data = self._read(name, n_bytes, part)
        flat = np.frombuffer(data, dtype, count=end - tensor.offset)
        view = np.lib.stride_tricks.as_strided(
            flat, shape, [by * dtype.itemsize for by in strides], writeable=False
        )
        return to_float32(np.ascontiguousarray(view), storage.dtype)

    def _member(self, name: str) -> zipfile.ZipInfo:
        info = self._members.get(self._folder + name)
        if info is None:
            _fail(self._path, f"has no member {name!r:.60}")
        return info

    def _read(self, name: str, max_bytes: int, part: slice = slice(None)) -> bytes:
        """A part of a member of at most ``max_bytes``, which must be stored as it is.

        All of it is read, which compares its checksum.
        """
        info = self._member(name)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            _fail(self._path, f"{name!r:.60} is compressed or encrypted; torch.save does neither")
        if info.compress_size != info.file_size:
            _fail(self._path, f"{name!r:.60} has two sizes")
        if info.file_size > max_bytes:
            _fail(self._path, f"{name!r:.60} has {info.file_size} bytes; {max_bytes} are allowed")
        start, stop, _ = part.indices(info.file_size)
        try:
            with self._zip.open(info) as member:
                place, content = 0, io.BytesIO()
                while chunk := member.read(_CHUNK):
                    content.write(chunk[max(0, start - place) : max(0, stop - place)])
                    place += len(chunk)
                return content.getvalue()
        except _DAMAGE as error:
            _fail(self._path, f"{name!r:.60} is damaged ({error})")


def _shown(number: int) -> str:
    """A number of a stranger, which may have a thousand digits."""
    return str(number) if abs(number) < 1 << 63 else "more than 2⁶³"

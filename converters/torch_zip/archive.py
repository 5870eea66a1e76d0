"""Reads the tensors of a file that ``torch.save`` wrote, as far as they are plain floats.

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
from ..safetensors import DTYPES, Float32Array, to_float32
from .instructions import RefusedPickle, StoredTensor, interpret

__all__ = ["read_torch_tensors"]

MAX_PROGRAM_BYTES = 256 << 10
"""``data.pkl`` of one parameter has 202 bytes."""

MAX_DIRECTORY_BYTES = 256 << 10
"""The zip's table of contents, and whatever else is read in one piece. Seven members take 600."""

MAX_STORAGE_BYTES = 256 << 20
"""A soft prompt of 2,048 tokens for a model of 16,384 numbers takes half of it in float32."""

MAX_TENSORS = 1000
"""Tensors of one file: a soft prompt has one, and may come with others."""

_CHUNK = 64 << 10
_ZIP = b"PK\x03\x04"

_DAMAGE = (
    *(zipfile.BadZipFile, OSError, EOFError, NotImplementedError),
    *(ValueError, LookupError, RuntimeError, ArithmeticError),
)
"""What zipfile raises on a damaged or unusual zip; struct.error is a ValueError."""


def read_torch_tensors(path: Path) -> dict[str, Float32Array]:
    """The two-dimensional tensors of floats in the file, by name; a lone tensor has the name "".

    Raises ConversionError for a file of another kind, for a description with anything but tensors
    and plain values, and for tensors that the file does not hold as described.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_ZIP)) != _ZIP:
                _fail(
                    path,
                    "is no zip, as torch.save has written since version 1.6: an older pickle could "
                    "run code and is not opened",
                )
            return _TorchFile(path, file).tensors()
    except RefusedPickle as error:
        _fail(path, f"the pickle inside is not read: {error}")
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read: {error.strerror or error}") from None


def _fail(path: Path, what: str) -> NoReturn:
    raise ConversionError(
        f"{path}: {what}\nSave the tensor again as safetensors, or with torch.save(tensor, path)."
    )


class _TorchFile:
    """One open file, while it is read."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(_ZipBytes(file))
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

    def tensors(self) -> dict[str, Float32Array]:
        if f"{self._folder}byteorder" in self._members:
            order = self._read("byteorder", 16)
            if order != b"little":
                _fail(self._path, f"was written in the byte order {order!r:.30}, not little-endian")
        described = interpret(self._read("data.pkl", MAX_PROGRAM_BYTES))
        found = described if isinstance(described, dict) else {"": described}
        tensors = {name: value for name, value in found.items() if isinstance(value, StoredTensor)}
        matrices = {name: value for name, value in tensors.items() if len(value.shape) == 2}
        if len(matrices) > MAX_TENSORS:
            _fail(self._path, f"has {len(matrices)} tensors; {MAX_TENSORS} are allowed")
        storages: dict[str, Float32Array] = {}
        return {name: self._tensor(value, storages) for name, value in matrices.items()}

    def _tensor(self, tensor: StoredTensor, storages: dict[str, Float32Array]) -> Float32Array:
        """A copy of the view ``tensor``. ``storages`` are those that were read."""
        storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
        dtype = np.dtype(DTYPES[storage.dtype])
        what = f"a tensor of shape {[_shown(n) for n in shape]} in storage {storage.key!r:.40}"
        if len(strides) != len(shape) or tensor.offset < 0 or min((*shape, *strides)) < 0:
            _fail(self._path, f"{what} has impossible sizes or strides")
        n_elements = math.prod(shape)
        last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        if n_elements == 0 or n_elements > storage.n_elements or last >= storage.n_elements:
            _fail(
                self._path,
                f"{what} does not lie in its {_shown(storage.n_elements)} numbers, or is empty",
            )
        if storage.n_elements * dtype.itemsize > MAX_STORAGE_BYTES:
            _fail(self._path, f"{what} has more than {MAX_STORAGE_BYTES >> 20} MiB")
        if storage.key not in storages:
            data = self._read(f"data/{storage.key}", MAX_STORAGE_BYTES)
            if len(data) != storage.n_elements * dtype.itemsize:
                _fail(
                    self._path,
                    f"{what} should have {storage.n_elements} numbers of {dtype.itemsize} bytes; "
                    f"the file holds {len(data)} bytes",
                )
            storages[storage.key] = to_float32(np.frombuffer(data, dtype), storage.dtype)
        flat = storages[storage.key]
        if len(flat) != storage.n_elements:
            _fail(self._path, f"{what}: the storage has two types")
        view = np.lib.stride_tricks.as_strided(
            flat[tensor.offset :], shape, [step * flat.itemsize for step in strides]
        )
        return np.array(view, np.float32, order="C")

    def _read(self, name: str, max_bytes: int) -> bytes:
        """The content of a member, at most ``max_bytes``, which must be stored as it is."""
        info = self._members.get(self._folder + name)
        if info is None:
            _fail(self._path, f"has no member {name!r:.60}")
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            _fail(self._path, f"{name!r:.60} is compressed or encrypted; torch.save does neither")
        if info.file_size > max_bytes:
            _fail(self._path, f"{name!r:.60} has {info.file_size} bytes; {max_bytes} are allowed")
        try:
            with self._zip.open(info) as member:
                content = io.BytesIO()
                while chunk := member.read(_CHUNK):
                    content.write(chunk)
                    if content.tell() > max_bytes:
                        _fail(self._path, f"{name!r:.60} has more bytes than it says")
                return content.getvalue()
        except _DAMAGE as error:
            _fail(self._path, f"{name!r:.60} is damaged ({error})")


def _shown(number: int) -> str:
    """A number of a stranger, which may have a thousand digits."""
    return str(number) if abs(number) < 1 << 63 else "more than 2⁶³"


class _ZipBytes(io.RawIOBase):
    """The file below a ZipFile, which cannot be made to read much at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        limit = MAX_DIRECTORY_BYTES + 1
        data = self._file.read(min(size, limit) if size >= 0 else limit)
        if len(data) == limit:
            raise ValueError(f"a table of contents of over {MAX_DIRECTORY_BYTES >> 10} KiB")
        return data

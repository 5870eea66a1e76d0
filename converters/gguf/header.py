"""Reads what a GGUF file says about itself: metadata and tensor layout, no data.

``gguf.GGUFReader`` builds one numpy view for every vocabulary entry, which takes
seconds for 150,000 tokens. Here arrays are only walked over, so a header takes
a tenth of a second. Every length is checked against the file before it is used.

Format: docs/gguf.md of ggml (versions 2 and 3, little endian).
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConversionError
from .types import n_tensor_bytes, type_name

__all__ = ["GGUFArray", "GGUFHeader", "GGUFTensor", "Scalar", "read_gguf_header"]

MAGIC = b"GGUF"
VERSIONS = (2, 3)

MAX_KEYS = 100_000
"""Metadata keys; real files have up to about a hundred."""

MAX_TENSORS = 1 << 16
"""Tensors; the largest mixtures of experts have some thousands."""

MAX_STRINGS = 1 << 22
"""Of one array; the largest vocabularies have some 500,000 merges."""

MAX_DIMENSIONS = 4
"""``GGML_MAX_DIMS``."""

MAX_HEADER_BYTES = 256 << 20
"""A vocabulary of a million tokens with its merges takes about 50 MB."""

FIRST_READ_BYTES = 8 << 20
"""Holds the header of a 150,000-token vocabulary; longer ones are read again, longer."""

MAX_REMEMBERED = 32
"""Headers that are kept; one of a large model takes about 200 kB."""

Scalar = int | float | bool | str
"""A value in the metadata of a GGUF file, other than an array."""

_FORMATS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "B",
    10: "Q",
    11: "q",
    12: "d",
}
_SCALARS = {code: struct.Struct("<" + format_) for code, format_ in _FORMATS.items()}
_BOOL, _STRING, _ARRAY = 7, 8, 9

_LAYOUT_KEYS = (
    "block_count",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "rope.dimension_count",
)
"""Hyper-parameters on which the conversion of an adapter can depend."""


@dataclass(frozen=True)
class GGUFTensor:
    """Layout of one tensor.

    ``shape`` is in numpy's order, ``(out, in)`` for a matrix; ``type_name`` is
    ggml's (``Q8_0``); ``offset`` counts bytes from the start of the data.
    """

    name: str
    shape: tuple[int, ...]
    type_name: str
    offset: int

    @property
    def n_bytes(self) -> int:
        """Bytes of its data; ConversionError for a type that is not known."""
        n_bytes = n_tensor_bytes(self.shape, self.type_name)
        if n_bytes is None:
            raise ConversionError(f"tensor {self.name!r} has the unknown type {self.type_name}")
        return n_bytes


@dataclass(frozen=True)
class GGUFArray:
    """Where an array of the metadata is: ``length`` elements of the GGUF type ``type_code``,
    from byte ``start`` of the file to ``end``.
    """

    type_code: int
    length: int
    start: int
    end: int


@dataclass(frozen=True)
class GGUFHeader:
    """What the front of a GGUF file says. Array values are left out of ``metadata``.

    ``type_codes`` has the GGUF type of each value in ``metadata``. ``arrays`` says where
    the arrays are in the file. ``n_vocab`` is the number of tokens, 0 in a
    file without a vocabulary. ``metadata_end`` is where the key-value pairs end, in bytes
    from the start.
    """

    path: Path
    version: int
    metadata: Mapping[str, Scalar]
    type_codes: Mapping[str, int]
    arrays: Mapping[str, GGUFArray]
    architecture: str
    alignment: int
    tensors: Mapping[str, GGUFTensor]
    data_offset: int
    metadata_end: int

    @property
    def array_lengths(self) -> Mapping[str, int]:
        """Number of elements of each array in the metadata."""
        return {key: array.length for key, array in self.arrays.items()}

    @property
    def n_vocab(self) -> int:
        """Number of tokens in the vocabulary."""
        tokens = self.arrays.get("tokenizer.ggml.tokens")
        return tokens.length if tokens else 0

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks."""
        return self.hyper_parameter("block_count")

    def hyper_parameter(self, name: str) -> int:
        """``<architecture>.<name>``, a positive integer; ConversionError otherwise."""
        key = f"{self.architecture}.{name}"
        value = self.metadata.get(key)
        if type(value) is not int or value <= 0:
            raise ConversionError(f"{self.path}: {key} is {value!r}, expected a positive integer")
        return value

    @property
    def layout_digest(self) -> str:
        """SHA-256 of all that an adapter's conversion depends on: names and shapes, not types.

        Bases that differ in quantisation or vocabulary texts share it, so they
        can share a converted adapter.
        """
        keys = [self.metadata.get(f"{self.architecture}.{key}") for key in _LAYOUT_KEYS]
        shapes = sorted((tensor.name, tensor.shape) for tensor in self.tensors.values())
        text = json.dumps([self.architecture, keys, shapes], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def read_gguf_header(path: str | os.PathLike[str], *, part: bool = False) -> GGUFHeader:
    """The header of ``path``; ConversionError when it cannot be read or is malformed.

    ``part``: a file of a split model, which need not name the architecture. The headers
    of files that have not changed are remembered.
    """
    path = Path(path)
    try:
        stat = path.stat()
    except OSError as error:
        raise ConversionError(f"cannot open {path}: {error.strerror or error}") from error
    return _read(path, part, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=MAX_REMEMBERED)
def _read(path: Path, part: bool, _size: int, _mtime_ns: int) -> GGUFHeader:
    n_read = FIRST_READ_BYTES
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while True:
                file.seek(0)
                data = file.read(n_read)
                try:
                    return _Parser(path, data, size).parse(part=part)
                except _EndOfDataError:
                    if len(data) >= min(size, MAX_HEADER_BYTES):
                        too_long = size > MAX_HEADER_BYTES
                        raise ConversionError(
                            f"{path}: the header has over {MAX_HEADER_BYTES} bytes"
                            if too_long
                            else f"{path}: the file ends inside its header: it is cut off or "
                            "damaged"
                        ) from None
                n_read *= 4
    except OSError as error:
        raise ConversionError(f"cannot open {path}: {error.strerror or error}") from error


class _EndOfDataError(Exception):
    """The parser wants more bytes than it was given."""


class _Parser:
    """Walks once over ``data``, the first bytes of a file of ``size`` bytes."""

    def __init__(self, path: Path, data: bytes, size: int) -> None:
        self._path, self._data, self._size, self._position = path, data, size, 0

    def parse(self, *, part: bool) -> GGUFHeader:
        if (magic := self._take(4)) != MAGIC:
            raise self._error(f"not a GGUF file: it begins with {magic!r}")
        version = int(self._scalar(4))
        if version not in VERSIONS:
            hint = " (a big-endian file?)" if version >> 24 in VERSIONS else ""
            raise self._error(f"GGUF version {version}{hint}; versions 2 and 3 are read")
        n_tensors = self._count("tensors", MAX_TENSORS)
        n_keys = self._count("metadata keys", MAX_KEYS)
        metadata, type_codes, arrays = self._metadata(n_keys)
        metadata_end = self._position
        architecture = metadata.get("general.architecture", "?" if part else None)
        if not isinstance(architecture, str) or not architecture or "\0" in architecture:
            raise self._error("general.architecture is missing or not a string")
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise self._error(f"general.alignment is {alignment!r}, expected a power of two")
        tensors = {}
        for _ in range(n_tensors):
            tensor = self._tensor(alignment)
            if tensor.name in tensors:
                raise self._error(f"tensor {tensor.name!r} occurs twice")
            tensors[tensor.name] = tensor
        data_offset = -(-self._position // alignment) * alignment
        self._check_data(tensors, data_offset)
        return GGUFHeader(
            self._path,
            version,
            metadata,
            type_codes,
            arrays,
            architecture,
            alignment,
            tensors,
            data_offset,
            metadata_end,
        )

    def _metadata(
        self, n_keys: int
    ) -> tuple[dict[str, Scalar], dict[str, int], dict[str, GGUFArray]]:
        metadata: dict[str, Scalar] = {}
        type_codes: dict[str, int] = {}
        arrays: dict[str, GGUFArray] = {}
        for _ in range(n_keys):
            key = self._name("a metadata key")
            if key in metadata or key in arrays:
                raise self._error(f"metadata key {key!r:.100} occurs twice")
            code = int(self._scalar(4))
            if code == _ARRAY:
                arrays[key] = self._skip_array(key)
                continue
            type_codes[key] = code
            if code == _STRING:
                metadata[key] = self._string(key)
            elif code == _BOOL:
                metadata[key] = bool(self._scalar(_BOOL))
            else:
                metadata[key] = self._scalar(code, key)
        return metadata, type_codes, arrays

    def _tensor(self, alignment: int) -> GGUFTensor:
        name = self._name("a tensor name")
        n_dims = int(self._scalar(4))
        if not 1 <= n_dims <= MAX_DIMENSIONS:
            raise self._error(f"tensor {name!r} has {n_dims} dimensions, expected 1 to 4")
        shape = tuple(int(self._scalar(10)) for _ in range(n_dims))[::-1]
        if 0 in shape or math.prod(shape) >= 2**63:
            raise self._error(f"tensor {name!r} has the impossible shape {list(shape)}")
        type_code, offset = int(self._scalar(4)), int(self._scalar(10))
        if offset % alignment:
            raise self._error(f"tensor {name!r} begins at {offset}, not a multiple of {alignment}")
        return GGUFTensor(name, shape, type_name(type_code), offset)

    def _check_data(self, tensors: Mapping[str, GGUFTensor], data_offset: int) -> None:
        for tensor in tensors.values():
            if (n_bytes := n_tensor_bytes(tensor.shape, tensor.type_name)) is None:
                continue  # a type newer than this gguf package: llama.cpp checks it itself
            if n_bytes < 0:
                raise self._error(
                    f"tensor {tensor.name!r}: rows of {tensor.shape[-1]} cannot be "
                    f"{tensor.type_name}"
                )
            if data_offset + tensor.offset + n_bytes > self._size:
                raise self._error(
                    f"tensor {tensor.name!r} ends behind the end of the file: it is cut off"
                )

    def _take(self, n_bytes: int) -> bytes:
        end = self._position + n_bytes
        if end > len(self._data):
            raise _EndOfDataError
        piece = self._data[self._position : end]
        self._position = end
        return piece

    def _scalar(self, code: int, key: str = "") -> int | float:
        if code not in _SCALARS:
            raise self._error(f"{key or 'a value'} has the unknown type {code}")
        packing = _SCALARS[code]
        value: int | float = packing.unpack(self._take(packing.size))[0]
        return value

    def _count(self, what: str, limit: int) -> int:
        count = int(self._scalar(10))
        if count > limit:
            raise self._error(f"claims {count} {what}; {limit} are allowed")
        return count

    def _string(self, what: str) -> str:
        length = int(self._scalar(10))
        if length > self._size:
            raise self._error(f"{what} claims {length} bytes, more than the file has")
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._error(f"{what} is not UTF-8: {error.reason}") from error

    def _name(self, what: str) -> str:
        """A string that is looked up; C functions would compare it up to a NUL only."""
        name = self._string(what)
        if "\0" in name:
            raise self._error(f"{what} has a NUL: {name!r:.100}")
        return name

    def _skip_array(self, key: str) -> GGUFArray:
        """Walk over an array; returns where it is. Nested arrays exist in no known file."""
        code, length = int(self._scalar(4)), int(self._scalar(10))
        start = self._position
        if length > self._size:
            raise self._error(f"{key} claims {length} elements, more than the file has bytes")
        if code == _STRING:
            if length > MAX_STRINGS:
                raise self._error(f"{key} claims {length} strings; {MAX_STRINGS} are allowed")
            self._skip_strings(length)
        elif code in _SCALARS:
            self._take(length * _SCALARS[code].size)
        else:
            raise self._error(f"{key} is an array of the unsupported type {code}")
        return GGUFArray(code, length, start, self._position)

    def _skip_strings(self, count: int) -> None:
        # The one hot loop of this module: 300,000 strings in a Qwen vocabulary.
        data, position, unpack = self._data, self._position, _SCALARS[10].unpack_from
        try:
            for _ in range(count):
                position += 8 + unpack(data, position)[0]
        except (struct.error, OverflowError):
            raise _EndOfDataError from None
        if position > len(data):
            raise _EndOfDataError
        self._position = position

    def _error(self, what: str) -> ConversionError:
        return ConversionError(f"{self._path}: {what}")

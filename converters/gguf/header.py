"""Reads the header of a GGUF file: its metadata and the layout of its tensors, but no data.

``gguf.GGUFReader`` builds a numpy view for every entry of the vocabulary, which takes seconds for
150,000 tokens. This reader skips arrays (see `values`), so a header takes a tenth of a second.

Format: docs/gguf.md of ggml (versions 2 and 3, little endian).
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ...errors import ConversionError
from .published_parts import part_names
from .types import n_tensor_bytes, type_name
from .values import (
    ARRAY,
    BOOL,
    STRING,
    UINT32,
    UINT64,
    EndOfDataError,
    GGUFArray,
    Scalar,
    ValueReader,
)

__all__ = ["GGUFHeader", "GGUFTensor", "read_gguf_header"]

MAGIC = b"GGUF"
VERSIONS = (2, 3)

MAX_KEYS = 100_000
"""Metadata keys. Real files have up to about a hundred."""

MAX_TENSORS = 1 << 16
"""Tensors. The largest mixtures of experts have several thousand."""

MAX_DIMENSIONS = 4
"""``GGML_MAX_DIMS``."""

MAX_HEADER_BYTES = 256 << 20
"""A vocabulary of a million tokens with its merges takes about 50 MB."""

UNNAMED = "?"
"""The architecture of a part that names none."""

FIRST_READ_BYTES = 8 << 20
"""Enough for the header with a vocabulary of 150,000 tokens. A longer header is read again, in a
larger piece."""

MAX_REMEMBERED = 32
"""Headers that are remembered. The header of a large model takes about 200 kB."""

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
        """Bytes of the tensor's data. Raises ConversionError for an unknown type."""
        n_bytes = n_tensor_bytes(self.shape, self.type_name)
        if n_bytes is None:
            raise ConversionError(f"tensor {self.name!r} has the unknown type {self.type_name}")
        return n_bytes


@dataclass(frozen=True)
class GGUFHeader:
    """The header of a GGUF file, or of a model in several files, whose first is ``path``.

    ``metadata`` holds all values except arrays, and ``type_codes`` their GGUF types. ``arrays``
    says where the file has its arrays. ``alignment``, ``data_offset`` (where the tensors' data
    begins) and ``metadata_end`` (where the key-value pairs end) count bytes from the start of
    the file; ``key_spans`` says where each pair begins and ends. ``parts`` are the headers of
    the files of a model in several files, by tensor: see `place_of`.
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
    key_spans: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    parts: Mapping[str, GGUFHeader] = field(default_factory=dict, repr=False)

    def place_of(self, tensor: str) -> tuple[Path, int]:
        """The file with the data of ``tensor``, and where in the file they begin."""
        part = self.parts.get(tensor, self)
        return part.path, part.data_offset + self.tensors[tensor].offset

    @property
    def array_lengths(self) -> Mapping[str, int]:
        """Number of elements of each array in the metadata."""
        return {key: array.length for key, array in self.arrays.items()}

    @property
    def n_vocab(self) -> int:
        """Number of tokens in the vocabulary; 0 if the file has none."""
        tokens = self.arrays.get("tokenizer.ggml.tokens")
        return tokens.length if tokens else 0

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks."""
        return self.hyper_parameter("block_count")

    def hyper_parameter(self, name: str) -> int:
        """The value of ``<architecture>.<name>``.

        Raises ConversionError if it is missing or not a positive integer.
        """
        key = f"{self.architecture}.{name}"
        value = self.metadata.get(key)
        if type(value) is not int or value <= 0:
            raise ConversionError(f"{self.path}: {key} is {value!r}, expected a positive integer")
        return value

    @property
    def layout_digest(self) -> str:
        """SHA-256 of everything that an adapter's conversion depends on: names and shapes.

        Bases that differ only in quantisation or in the texts of their vocabulary have the same
        digest, so they can share a converted adapter.
        """
        keys = [self.metadata.get(f"{self.architecture}.{key}") for key in _LAYOUT_KEYS]
        shapes = sorted((tensor.name, tensor.shape) for tensor in self.tensors.values())
        text = json.dumps([self.architecture, keys, shapes], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def read_gguf_header(path: str | os.PathLike[str], *, part: bool = False) -> GGUFHeader:
    """The header of the file ``path``, or of the model that it is a part of.

    The parts of a published model, ``NAME-00001-of-00003.gguf`` and so on, are read together.
    With ``part`` only the file itself is read; a part need not name its architecture. Headers
    are remembered as long as their files do not change. Raises ConversionError if the
    file cannot be read or its header is malformed.
    """
    path = Path(path)
    if part or len(names := part_names(path.name)) == 1:
        return _read_file(path, part=part)
    first = _read_file(path.with_name(names[0]), part=False)
    if first.metadata.get("split.count") != len(names):
        return first if path.name == names[0] else _read_file(path, part=False)
    return _joined([first, *(_read_file(path.with_name(n), part=True) for n in names[1:])])


def _joined(parts: Sequence[GGUFHeader]) -> GGUFHeader:
    """One header for all parts of a model."""
    tensors: dict[str, GGUFTensor] = {}
    places: dict[str, GGUFHeader] = {}
    for part in parts:
        for name, tensor in part.tensors.items():
            if name in tensors:
                raise ConversionError(
                    f"{part.path}: tensor {name!r} is also in {places[name].path.name}"
                )
            tensors[name], places[name] = tensor, part
    return replace(parts[0], tensors=tensors, parts=places)


def _read_file(path: Path, *, part: bool) -> GGUFHeader:
    try:
        stat = path.stat()
    except OSError as error:
        raise ConversionError(f"cannot open {path}: {error.strerror or error}") from error
    header = _read(path, stat.st_size, stat.st_mtime_ns)
    if header.architecture == UNNAMED and not part:
        raise ConversionError(f"{path}: general.architecture is missing or not a string")
    return header


@functools.lru_cache(maxsize=MAX_REMEMBERED)
def _read(path: Path, _size: int, _mtime_ns: int) -> GGUFHeader:
    n_read = FIRST_READ_BYTES
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            while True:
                file.seek(0)
                data = file.read(n_read)
                try:
                    return _Parser(path, data, size).parse()
                except EndOfDataError:
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


class _Parser:
    """Reads the header from ``data``, the first bytes of a file of ``size`` bytes."""

    def __init__(self, path: Path, data: bytes, size: int) -> None:
        self._path, self._size = path, size
        self._values = ValueReader(path, data, size)

    def parse(self) -> GGUFHeader:
        if (magic := self._values.take(4)) != MAGIC:
            raise self._values.error(f"not a GGUF file: it begins with {magic!r}")
        version = int(self._values.scalar(UINT32))
        if version not in VERSIONS:
            hint = " (a big-endian file?)" if version >> 24 in VERSIONS else ""
            raise self._values.error(f"GGUF version {version}{hint}; versions 2 and 3 are read")
        n_tensors = self._values.count("tensors", MAX_TENSORS)
        n_keys = self._values.count("metadata keys", MAX_KEYS)
        metadata, type_codes, arrays, spans = self._metadata(n_keys)
        metadata_end = self._values.position
        architecture = metadata.get("general.architecture", UNNAMED)
        if not isinstance(architecture, str) or not architecture or "\0" in architecture:
            raise self._values.error("general.architecture is missing or not a string")
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise self._values.error(f"general.alignment is {alignment!r}, expected a power of two")
        tensors = {}
        for _ in range(n_tensors):
            tensor = self._tensor(alignment)
            if tensor.name in tensors:
                raise self._values.error(f"tensor {tensor.name!r} occurs twice")
            tensors[tensor.name] = tensor
        data_offset = -(-self._values.position // alignment) * alignment
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
            spans,
        )

    def _metadata(
        self, n_keys: int
    ) -> tuple[dict[str, Scalar], dict[str, int], dict[str, GGUFArray], dict[str, tuple[int, int]]]:
        metadata: dict[str, Scalar] = {}
        type_codes: dict[str, int] = {}
        arrays: dict[str, GGUFArray] = {}
        begins: dict[str, int] = {}
        for _ in range(n_keys):
            begin = self._values.position
            key = self._values.name("a metadata key")
            if key in metadata or key in arrays:
                raise self._values.error(f"metadata key {key!r:.100} occurs twice")
            begins[key] = begin
            code = int(self._values.scalar(UINT32))
            if code == ARRAY:
                arrays[key] = self._values.skip_array(key)
                continue
            type_codes[key] = code
            if code == STRING:
                metadata[key] = self._values.string(key)
            elif code == BOOL:
                metadata[key] = bool(self._values.scalar(BOOL))
            else:
                metadata[key] = self._values.scalar(code, key)
        ends = [*begins.values(), self._values.position][1:]
        spans = {key: (begin, end) for (key, begin), end in zip(begins.items(), ends, strict=True)}
        return metadata, type_codes, arrays, spans

    def _tensor(self, alignment: int) -> GGUFTensor:
        name = self._values.name("a tensor name")
        n_dims = int(self._values.scalar(UINT32))
        if not 1 <= n_dims <= MAX_DIMENSIONS:
            raise self._values.error(f"tensor {name!r} has {n_dims} dimensions, expected 1 to 4")
        shape = tuple(int(self._values.scalar(UINT64)) for _ in range(n_dims))[::-1]
        if 0 in shape or math.prod(shape) >= 2**63:
            raise self._values.error(f"tensor {name!r} has the impossible shape {list(shape)}")
        type_code, offset = int(self._values.scalar(UINT32)), int(self._values.scalar(UINT64))
        if offset % alignment:
            raise self._values.error(
                f"tensor {name!r} begins at {offset}, not a multiple of {alignment}"
            )
        return GGUFTensor(name, shape, type_name(type_code), offset)

    def _check_data(self, tensors: Mapping[str, GGUFTensor], data_offset: int) -> None:
        for tensor in tensors.values():
            if (n_bytes := n_tensor_bytes(tensor.shape, tensor.type_name)) is None:
                continue  # the type is newer than our table; llama.cpp checks it
            if n_bytes < 0:
                raise self._values.error(
                    f"tensor {tensor.name!r}: rows of {tensor.shape[-1]} cannot be "
                    f"{tensor.type_name}"
                )
            if data_offset + tensor.offset + n_bytes > self._size:
                raise self._values.error(
                    f"tensor {tensor.name!r} ends after the end of the file: it is cut off"
                )

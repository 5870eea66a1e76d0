"""Reads the values of a GGUF file one after another: numbers, strings, arrays.

Every length is checked against the file before it is used. Arrays are skipped, not read.

Format: docs/gguf.md of ggml (versions 2 and 3, little endian).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConversionError

__all__ = [
    "ARRAY",
    "BOOL",
    "FORMATS",
    "STRING",
    "UINT32",
    "UINT64",
    "EndOfDataError",
    "GGUFArray",
    "Scalar",
    "ValueReader",
]

MAX_STRINGS = 1 << 22
"""Strings of one array. The largest vocabularies have some 500,000 merges."""

Scalar = int | float | bool | str
"""A value in the metadata of a GGUF file, other than an array."""

FORMATS = {
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
"""Letters of ``struct`` and ``array`` for GGUF's types of numbers."""

_SCALARS = {code: struct.Struct("<" + format_) for code, format_ in FORMATS.items()}
UINT32, BOOL, STRING, ARRAY, UINT64 = 4, 7, 8, 9, 10
"""Numbers of GGUF's value types."""


@dataclass(frozen=True)
class GGUFArray:
    """The place of an array in the file.

    It has ``length`` elements of the GGUF type ``type_code``, from byte ``start`` to ``end``.
    """

    type_code: int
    length: int
    start: int
    end: int


class EndOfDataError(Exception):
    """The reader needs more bytes than it was given."""


class ValueReader:
    """Reads once through ``data``, the first bytes of the file ``path``, which has ``size`` bytes.

    Raises EndOfDataError if ``data`` is too short, and ConversionError for anything malformed.
    """

    def __init__(self, path: Path, data: bytes, size: int) -> None:
        self._path, self._data, self._size = path, data, size
        self.position = 0

    def take(self, n_bytes: int) -> bytes:
        end = self.position + n_bytes
        if end > len(self._data):
            raise EndOfDataError
        piece = self._data[self.position : end]
        self.position = end
        return piece

    def scalar(self, code: int, key: str = "") -> int | float:
        if code not in _SCALARS:
            raise self.error(f"{key or 'a value'} has the unknown type {code}")
        packing = _SCALARS[code]
        value: int | float = packing.unpack(self.take(packing.size))[0]
        return value

    def count(self, what: str, limit: int) -> int:
        count = int(self.scalar(UINT64))
        if count > limit:
            raise self.error(f"claims {count} {what}; {limit} are allowed")
        return count

    def string(self, what: str) -> str:
        length = int(self.scalar(UINT64))
        if length > self._size:
            raise self.error(f"{what} claims {length} bytes, more than the file has")
        try:
            return self.take(length).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.error(f"{what} is not UTF-8: {error.reason}") from error

    def name(self, what: str) -> str:
        """A string without a NUL: C functions would compare a name only up to it."""
        name = self.string(what)
        if "\0" in name:
            raise self.error(f"{what} has a NUL: {name!r:.100}")
        return name

    def skip_array(self, key: str) -> GGUFArray:
        """Skip an array and return its place. No known file has nested arrays."""
        code, length = int(self.scalar(UINT32)), int(self.scalar(UINT64))
        start = self.position
        if length > self._size:
            raise self.error(f"{key} claims {length} elements, more than the file has bytes")
        if code == STRING:
            if length > MAX_STRINGS:
                raise self.error(f"{key} claims {length} strings; {MAX_STRINGS} are allowed")
            self._skip_strings(length)
        elif code in _SCALARS:
            self.take(length * _SCALARS[code].size)
        else:
            raise self.error(f"{key} is an array of the unsupported type {code}")
        return GGUFArray(code, length, start, self.position)

    def _skip_strings(self, count: int) -> None:
        # The only hot loop of this module: a Qwen vocabulary has 300,000 strings.
        data, position, unpack = self._data, self.position, _SCALARS[UINT64].unpack_from
        try:
            for _ in range(count):
                position += 8 + unpack(data, position)[0]
        except (struct.error, OverflowError):
            raise EndOfDataError from None
        if position > len(data):
            raise EndOfDataError
        self.position = position

    def error(self, what: str) -> ConversionError:
        return ConversionError(f"{self._path}: {what}")

"""Reads the arrays in a GGUF file's metadata, which `header` skips."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConversionError
from .header import GGUFHeader

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_numbers", "read_strings"]

_STRING = 8
_DTYPES = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "<u1",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}


def read_strings(header: GGUFHeader, key: str) -> list[bytes]:
    """The strings of an array, as bytes. Raises ConversionError for an array of numbers."""
    array = header.arrays[key]
    if array.type_code != _STRING:
        raise ConversionError(f"{header.path}: {key} is not an array of strings")
    data, position = _data(header, key), 0
    unpack, found = struct.Struct("<Q").unpack_from, []
    for _ in range(array.length):
        start = position + 8
        position = start + unpack(data, position)[0]
        found.append(data[start:position])
    return found


def read_numbers(header: GGUFHeader, key: str) -> NDArray[Any]:
    """The numbers of an array, (length,), in its type. Raises ConversionError for strings."""
    import numpy as np

    array = header.arrays[key]
    if array.type_code not in _DTYPES:
        raise ConversionError(f"{header.path}: {key} is not an array of numbers")
    return np.frombuffer(_data(header, key), _DTYPES[array.type_code])


def _data(header: GGUFHeader, key: str) -> bytes:
    array = header.arrays[key]
    size = array.end - array.start
    with Path(header.path).open("rb") as file:
        file.seek(array.start)
        data = file.read(size)
    if len(data) != size:
        raise ConversionError(f"{header.path}: {key} is cut off: the file has changed")
    return data

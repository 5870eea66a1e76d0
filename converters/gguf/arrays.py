"""Reads the arrays in a GGUF file's metadata, which `header` skips."""

from __future__ import annotations

import struct
import sys
from array import array
from pathlib import Path
from typing import Any

from ...errors import ConversionError
from .header import GGUFHeader
from .values import FORMATS, STRING

__all__ = ["read_numbers", "read_strings"]


def read_strings(header: GGUFHeader, key: str) -> list[bytes]:
    """The strings of an array, as bytes. Raises ConversionError for an array of numbers."""
    listed = header.arrays[key]
    if listed.type_code != STRING:
        raise ConversionError(f"{header.path}: {key} is not an array of strings")
    data, position = _data(header, key), 0
    unpack, found = struct.Struct("<Q").unpack_from, []
    for _ in range(listed.length):
        start = position + 8
        position = start + unpack(data, position)[0]
        found.append(data[start:position])
    return found


def read_numbers(header: GGUFHeader, key: str) -> array[Any]:
    """The numbers of an array, in its type. Raises ConversionError for strings."""
    found = header.arrays[key]
    if found.type_code not in FORMATS:
        raise ConversionError(f"{header.path}: {key} is not an array of numbers")
    numbers = array(FORMATS[found.type_code], _data(header, key))
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _data(header: GGUFHeader, key: str) -> bytes:
    place = header.arrays[key]
    size = place.end - place.start
    with Path(header.path).open("rb") as file:
        file.seek(place.start)
        data = file.read(size)
    if len(data) != size:
        raise ConversionError(f"{header.path}: {key} is cut off: the file has changed")
    return data

"""Writes gzip files whose bytes are the same on every machine.

Builds of zlib compress differently: zlib-ng, Apple's and Chromium's give other bytes than the
original for the same level. `StoredGzip` therefore compresses nothing. It frames the data as stored
blocks of deflate, which every reader of gzip takes, and there is only one way to write them.
`DeflatedGzip` compresses; its bytes depend on the build of zlib.

Formats: RFC 1951, section 3.2.4; RFC 1952.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

__all__ = ["DeflatedGzip", "StoredGzip"]

_LARGEST_BLOCK = 65_535
"""Bytes of one stored block: its length has 16 bits."""

_LEVEL = 9
_RAW = -15
"""``wbits`` for deflate without a frame around it."""


def _header(extra_flags: int) -> bytes:
    """No name, no time, and an unknown system: nothing that tells of the writer."""
    return struct.pack("<BBBBIBB", 0x1F, 0x8B, 8, 0, 0, extra_flags, 255)


class _Trailer:
    """CRC-32 and length of the data so far."""

    def __init__(self) -> None:
        self._checksum = 0
        self._size = 0

    def add(self, data: bytes) -> None:
        self._checksum = zlib.crc32(data, self._checksum)
        self._size += len(data)

    def bytes(self) -> bytes:
        return struct.pack("<II", self._checksum, self._size & 0xFFFF_FFFF)


class StoredGzip:
    """Passes a gzip file without compression to ``sink``, piece by piece."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._trailer = _Trailer()
        self._pending = b""
        sink(_header(0))

    def write(self, data: bytes) -> None:
        """Add ``data``. Where one call ends and the next begins changes nothing in the file."""
        self._trailer.add(data)
        data = self._pending + data
        start = 0
        while len(data) - start > _LARGEST_BLOCK:
            self._block(data[start : start + _LARGEST_BLOCK], is_last=False)
            start += _LARGEST_BLOCK
        self._pending = data[start:]

    def finish(self) -> None:
        """Write what is left, and the checksum."""
        self._block(self._pending, is_last=True)
        self._sink(self._trailer.bytes())

    def _block(self, data: bytes, *, is_last: bool) -> None:
        size = len(data)
        self._sink(struct.pack("<BHH", is_last, size, size ^ 0xFFFF) + data)


class DeflatedGzip:
    """Passes a gzip file, compressed as far as zlib can, to ``sink``, piece by piece."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._trailer = _Trailer()
        self._compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW)
        sink(_header(2))

    def write(self, data: bytes) -> None:
        """Add ``data``."""
        self._trailer.add(data)
        self._sink(self._compressor.compress(data))

    def finish(self) -> None:
        """Write what is left, and the checksum."""
        self._sink(self._compressor.flush())
        self._sink(self._trailer.bytes())

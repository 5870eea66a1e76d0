"""Reads gzip without Python's own reader, which a hostile file can keep busy.

``gzip.GzipFile`` reads a name in the header byte by byte, and starts again for every gzip member.
A gigabyte can hold fifty million members. Here zlib reads headers and checksums, and the members
are counted.

Format: RFC 1952.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

from .limits import Refused

__all__ = ["GzipStream"]

MAX_GZIP_MEMBERS = 100_000
"""bgzip writes one for every 64 kB, so these are 6.5 GB."""

_INPUT = 64 << 10
"""Compressed bytes per read."""

_GZIP = 31
"""``wbits`` for a gzip header and trailer around the largest window."""


class GzipStream:
    """What the gzip ``file`` holds, decompressed forward only.

    Raises zlib.error for damage, EOFError for an early end, and Refused for too many
    members. Zeros after the last member are padding, as gzip itself treats them.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._input = b""
        self._inflater = zlib.decompressobj(_GZIP)
        self._members = 1

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; none at the end."""
        while size:
            if self._inflater.eof and not self._next_member():
                break
            if not self._input:
                self._input = self._file.read(_INPUT)
            if not self._input:
                raise EOFError("it ends within the compressed data")
            data = self._inflater.decompress(self._input, size)
            ended = self._inflater.eof
            self._input = self._inflater.unused_data if ended else self._inflater.unconsumed_tail
            if data:
                return data
        return b""

    def _next_member(self) -> bool:
        while True:
            self._input = self._input.lstrip(b"\0")
            if self._input:
                break
            if not (more := self._file.read(_INPUT)):
                return False
            self._input = more
        self._members += 1
        if self._members > MAX_GZIP_MEMBERS:
            raise Refused(f"more than {MAX_GZIP_MEMBERS} gzip members in one file")
        self._inflater = zlib.decompressobj(_GZIP)
        return True

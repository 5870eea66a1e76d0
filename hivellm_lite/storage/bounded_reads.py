"""A file that a program of others cannot be made to read much of at once.

zipfile reads a table of contents in one piece, of the size that a stranger's file gives, and seeks
wherever the file says.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO

__all__ = ["BadOffset", "BoundedReads"]


class BadOffset(OSError):
    """A file points outside itself; an OSError because zipfile expects one."""


class BoundedReads(io.RawIOBase):
    """``file``, read in pieces of at most ``most`` bytes; a larger one raises ``refusal()``."""

    def __init__(self, file: BinaryIO, most: int, refusal: Callable[[], Exception]) -> None:
        self._file = file
        self._most = most
        self._refusal = refusal

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError) as error:
            raise BadOffset("it points outside itself") from error

    def read(self, size: int = -1) -> bytes:
        limit = self._most + 1
        data = self._file.read(min(size, limit) if size >= 0 else limit)
        if len(data) == limit:
            raise self._refusal()
        return data

"""Files that are there whole or not at all, even if the program or the machine stops meanwhile.

The bytes go to a temporary file in the same folder. Once the disk holds them, the file is renamed
to its real name. Readers see the old file or the new one, never a part.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from ..errors import CacheError
from .held_files import replace

__all__ = [
    "copy_whole",
    "flush_file",
    "temporary_name",
    "whole_file",
    "write_text_whole",
    "write_together",
]

_CHUNK = 1 << 20


@contextlib.contextmanager
def whole_file(place: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that becomes ``place`` if the block ends without an error.

    After an error ``place`` is what it was before. Raises OSError.
    """
    temporary = temporary_name(place)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        replace(temporary, place)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def copy_whole(source: Path, target: str | os.PathLike[str]) -> None:
    """Copy a file to ``target``. Raises CacheError that names ``target``."""
    place = Path(target)
    with _named(place), source.open("rb") as data, whole_file(place) as file:
        shutil.copyfileobj(data, file, _CHUNK)


def write_text_whole(text: str, target: str | os.PathLike[str]) -> None:
    """Write ``text`` to ``target`` as UTF-8, its line ends as they are.

    Raises CacheError that names ``target``.
    """
    place = Path(target)
    with _named(place), whole_file(place) as file:
        file.write(text.encode())


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write several files. None gets its name before the disk holds all; the last is named last.

    Raises OSError.
    """
    with contextlib.ExitStack() as stack:
        # a stack ends with what began first
        for place, content in reversed(list(files.items())):
            file = stack.enter_context(whole_file(place))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def flush_file(path: Path) -> None:
    """Wait until the disk holds all bytes of a file. Raises OSError."""
    with path.open("rb+" if os.name == "nt" else "rb") as file:  # Windows flushes what is writable
        os.fsync(file.fileno())


def temporary_name(place: Path) -> Path:
    """A new name in the folder of ``place``.

    The name is random. Containers and machines that share a folder may have equal process ids.
    """
    return place.with_name(f".{place.name}.{uuid.uuid4().hex}.tmp")


@contextlib.contextmanager
def _named(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheError(f"cannot write {place}: {error.strerror or error}") from error

"""How much room a disk has, and whether it was full."""

from __future__ import annotations

import errno
import re
import shutil
from pathlib import Path

from ..errors import LoadError

__all__ = ["free_bytes", "is_disk_full", "require_space"]


def free_bytes(folder: Path) -> int:
    """The bytes that are free on the disk of ``folder``, which need not exist yet.

    Raises OSError.
    """
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_space(folder: Path, n_bytes: int, what: str, advice: str) -> None:
    """Raise LoadError if the disk of ``folder`` has less than ``n_bytes`` for ``what``.

    ``advice`` says what the user can do about it.
    """
    free = free_bytes(folder)
    if n_bytes > free:
        raise LoadError(
            f"{what} needs {n_bytes / 1e6:.0f} MB in {folder}; {free / 1e6:.0f} MB are free\n"
            f"{advice}"
        )


def is_disk_full(error: OSError) -> bool:
    """Whether a disk, a quota or the largest allowed file left no room for the data."""
    if error.errno is None:  # NumPy gives no number
        return re.fullmatch(r"\d+ requested and \d+ written", str(error)) is not None
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

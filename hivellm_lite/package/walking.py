"""What is below a folder that a stranger may have made: never without end, and never too deep.

`os.walk` and `Path.rglob` recurse for each level in some versions of Python, and list whatever
there is.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path

from ..errors import PackageError

__all__ = ["MAX_DEPTH", "MAX_ENTRIES", "entries_below", "files_below"]

MAX_DEPTH = 64
"""Folders in folders. An archive may have 16; a path of Linux 2,048."""

MAX_ENTRIES = 100_000
"""Files and folders. An expert package has about fifteen; its author's folder has more."""


def entries_below(
    root: Path, *, without: Collection[str] = (), most: int = MAX_ENTRIES
) -> Iterator[Path]:
    """Everything below ``root`` that is no folder, by name, and what is in subfolders later.

    A link is yielded, and not followed. Folders that have a name in ``without`` are left out.
    Raises PackageError for more than ``most`` files and folders or `MAX_DEPTH`, and OSError.
    """
    left = most
    pending = [(root, 0)]
    while pending:
        folder, depth = pending.pop()
        with os.scandir(folder) as found:
            entries = sorted(islice(found, left + 1), key=lambda entry: entry.name)
        left -= len(entries)
        if left < 0 or depth > MAX_DEPTH:
            what = f"over {most} files" if left < 0 else f"over {MAX_DEPTH} folders deep"
            raise PackageError(f"{root}: {what}\nAn expert package has about fifteen files.")
        below = []
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                yield folder / entry.name
            elif entry.name not in without:
                below.append((folder / entry.name, depth + 1))
        pending += reversed(below)


def files_below(root: Path) -> Iterator[Path]:
    """The regular files among `entries_below`, and links to some."""
    return (path for path in entries_below(root) if path.is_file())

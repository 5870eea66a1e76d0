"""Renames that wait where another process holds a file for a moment, as happens on Windows.

POSIX renames over a file that others have open. Windows refuses: while a program reads the file
(Python opens files without the right to delete them), and while a virus scanner looks at what was
just written. Both end within milliseconds, and the system tells neither from a lack of
permission. So a refusal is asked about again for a moment, there only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["delete_tree", "rename", "replace", "when_free"]

PATIENCE_S = 2.0 if os.name == "nt" else 0.0
"""How long a refusal may be somebody's reading. A model that is in use is held far longer."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.002, 0.1

T = TypeVar("T")


def when_free(call: Callable[[], T], *, patience_s: float = PATIENCE_S) -> T:
    """``call()``, again while it raises PermissionError, for ``patience_s`` seconds at most.

    Raises what the last call raises.
    """
    until, pause = time.monotonic() + patience_s, _FIRST_PAUSE_S
    while True:
        try:
            return call()
        except PermissionError:
            if time.monotonic() >= until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def replace(source: Path, target: Path) -> Path:
    """Rename a file to ``target``, also over a file that is there. Raises OSError."""
    return when_free(lambda: source.replace(target))


def rename(source: Path, target: Path) -> Path:
    """Rename a folder to ``target``, where nothing is. Raises OSError."""
    return when_free(lambda: source.rename(target))


def delete_tree(folder: Path) -> None:
    """Delete a folder with everything in it, as far as possible.

    Windows deletes no file that is read-only, as those are in which git keeps its objects.
    """
    if os.name == "nt":
        for root, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(OSError):
                    Path(root, name).chmod(stat.S_IWRITE)
    shutil.rmtree(folder, ignore_errors=True)

"""Notices that files changed while something was made from them.

A result is stored under the digest of its inputs. If these change between the digest and
the end of the work, the result belongs to no key at all and is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import LoadError

__all__ = ["InputState"]

_Build = Callable[[Path], Mapping[str, Any]]


class InputState:
    """The state of some files at the time of the call: before their digest is computed."""

    def __init__(self, files: Callable[[], Iterable[Path]]) -> None:
        """``files`` is asked again later, so that it also notices files that came or went."""
        self._files = files
        self._found = self._read()

    def _read(self) -> dict[Path, tuple[int, ...] | None]:
        return {path: _state(path) for path in self._files()}

    def check(self) -> None:
        """Raise LoadError, naming the first file that is not what it was."""
        now = self._read()
        for path in sorted({**self._found, **now}):
            if self._found.get(path) != now.get(path):
                raise LoadError(f"{path} was changed while it was converted\nTry again.")

    def checked(self, build: _Build) -> _Build:
        """``build``, whose result counts only if the files are still the same."""

        def build_and_check(folder: Path) -> Mapping[str, Any]:
            info = build(folder)
            self.check()
            return info

        return build_and_check


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes with the content, even where a program restores the time of change."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino

"""The user's files that a cache entry was made from, and whether they have changed.

An entry is stored under the digest of its sources. If a source changes between the digest and
the end of the work, the result belongs to no key at all and is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import LoadError

__all__ = ["SourceChanged", "SourceWatch", "is_unchanged", "source_of"]

_Build = Callable[[Path], Mapping[str, Any]]


def source_of(path: Path) -> dict[str, Any]:
    """What an entry remembers of a file, to notice later that the file went or changed.

    Of a folder: the size of all files in it together, and the latest change of any.
    """
    path = path.resolve()
    files = [path] if not path.is_dir() else sorted(p for p in path.rglob("*") if p.is_file())
    stats = [file.stat() for file in files]
    return {
        "path": str(path),
        "size": sum(stat.st_size for stat in stats),
        "mtime_ns": max((stat.st_mtime_ns for stat in stats), default=0),
    }


def is_unchanged(source: Mapping[str, Any]) -> bool:
    """Whether a source is as `source_of` found it.

    A source that cannot be seen, as on a disk that is not mounted, counts as unchanged.
    """
    try:
        return source_of(Path(source["path"])) == source
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


class SourceChanged(LoadError):
    """A file was changed while something was made from it."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was changed while it was converted\nTry again.")
        self.path = path


class SourceWatch:
    """Notices changes of some files from the moment that it is created."""

    def __init__(self, files: Callable[[], Iterable[Path]]) -> None:
        """``files`` is called again by every check, to notice files that came or went."""
        self._files = files
        self._found = self._read()

    def _read(self) -> dict[Path, tuple[int, ...] | None]:
        return {path: _state(path) for path in self._files()}

    def check(self) -> None:
        """Raise SourceChanged, a LoadError, that names the first file that has changed."""
        now = self._read()
        for path in sorted({**self._found, **now}):
            if self._found.get(path) != now.get(path):
                raise SourceChanged(path)

    def checked(self, build: _Build) -> _Build:
        """A ``build`` for `Cache.get_or_build` that fails if the files change meanwhile."""

        def build_and_check(folder: Path) -> Mapping[str, Any]:
            info = build(folder)
            self.check()
            return info

        return build_and_check


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes with the content, even if a program restores the time of change."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino

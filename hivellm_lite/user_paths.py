"""Paths as users write them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .errors import LoadError

__all__ = [
    *("is_file", "is_folder", "noted_path", "path_exists", "path_from_anywhere"),
    *("shown_path", "user_path"),
]

SHOWN = 200
"""Characters of a path in a message."""


def user_path(given: str | os.PathLike[str]) -> Path:
    """The path with ``~`` and ``~name`` replaced. Raises LoadError if there is no such home."""
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        raise LoadError(
            f"{shown_path(given)}: {error}\nWrite the whole path, without '~'."
        ) from None


def noted_path(path: Path) -> Path:
    """``path`` as it can be noted for another day: absolute, and without ``..``.

    A link at its end stays, because what it leads to may change.
    """
    place = path.absolute()
    if ".." not in place.parts:
        return place
    if place.name == "..":
        return Path(os.path.realpath(place))
    return Path(os.path.realpath(place.parent), place.name)


def path_from_anywhere(given: str) -> str:
    """A path for processes in other folders; what is no path here, such as a name, stays as it is.

    Raises what `user_path` raises.
    """
    path = user_path(given)
    return str(path.absolute()) if path_exists(path) else given


def path_exists(path: Path) -> bool:
    """Whether there is such a file or folder. False for a text that cannot be a path.

    Raises LoadError if that cannot be seen.
    """
    return _mode(path) is not None


def is_folder(path: Path) -> bool:
    """As `path_exists`, for a folder."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def is_file(path: Path) -> bool:
    """As `path_exists`, for a regular file."""
    mode = _mode(path)
    return mode is not None and stat.S_ISREG(mode)


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path for a message; only its end if it is long."""
    text = os.fspath(path)
    return text if len(text) <= SHOWN else f"…{text[-SHOWN:]}"


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except PermissionError as error:
        raise LoadError(
            f"{shown_path(path)}: {error.strerror}\nCheck who may read the folders above it."
        ) from None
    except (OSError, ValueError):  # too long, a NUL, links in a circle: there is none
        return None

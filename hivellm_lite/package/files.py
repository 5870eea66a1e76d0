"""Where the files of a package are, and which of them may be opened."""

from __future__ import annotations

import os
from pathlib import Path

from ..archive.limits import LIMITS, Refused
from ..archive.names import member_path
from ..errors import PackageError
from .walking import entries_below

__all__ = [
    "CONFIG",
    "MANIFEST",
    "MLX_WEIGHTS",
    "NAMES_SHOWN",
    "WEIGHTS",
    "check_folder",
    "file_in",
    "read_in",
    "relative_to_root",
    "safe_path",
]

MANIFEST = "manifest.json"
WEIGHTS = "adapter_model.safetensors"
MLX_WEIGHTS = "adapters.safetensors"
CONFIG = "adapter_config.json"

NAMES_SHOWN = 10
"""File names that one error lists."""


def file_in(root: Path, name: str) -> Path | None:
    """The file, if it is there; raises PackageError for a link that leads out of ``root``."""
    path = root / name
    if not path.is_file():
        return None
    _real_path(root, path)
    return path


def check_folder(root: Path, name: str) -> Path | None:
    """The folder, if it is there; raises PackageError if anything in it leads out of ``root``.

    Use it for a folder whose files other code opens by name, such as a base model's.
    """
    folder = root / name
    if not folder.is_dir():
        return None
    _real_path(root, folder)
    for path in entries_below(folder, most=LIMITS.members):
        if path.is_symlink():
            _real_path(root, path)
    return folder


def read_in(root: Path, path: Path, max_bytes: int) -> bytes:
    """The first ``max_bytes`` of a file that `file_in` has found, if it is still inside.

    If a link replaces the file after the check, the link is not followed.
    """
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(_real_path(root, path), flags), "rb") as file:
        return file.read(max_bytes)


def _real_path(root: Path, path: Path) -> Path:
    """``path`` without links; raises PackageError if it is outside."""
    try:
        real, homes = path.resolve(), [root.resolve()]
    except (OSError, RuntimeError) as error:  # links in a circle
        raise PackageError(f"{path}: a link that leads nowhere ({error})") from None
    # The Hugging Face cache: snapshots/<revision>/* link to blobs/*.
    for folder in (root, *root.parents):
        if folder.parent.name == "snapshots":
            homes.append(folder.parent.parent.resolve() / "blobs")
            break
    if not any(real.is_relative_to(home) for home in homes):
        raise PackageError(
            f"{path}: a link that leads out of the package\nPut the file itself there."
        )
    return real


def relative_to_root(path: Path, root: Path) -> str:
    """The path below ``root``, with ``/`` on every system."""
    return path.relative_to(root).as_posix()


def safe_path(name: str) -> str | None:
    """A path from the manifest; None if it leads out of the package, as to an author's disk."""
    try:
        return member_path(name.replace("\\", "/").rstrip("/"))
    except Refused:
        return None

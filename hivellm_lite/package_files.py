"""Where the files of a package lie, and which of them may be opened."""

from __future__ import annotations

from pathlib import Path

from .archive_limits import Refused
from .archive_names import member_path
from .errors import PackageError

__all__ = [
    "CONFIG",
    "MANIFEST",
    "NAMES_SHOWN",
    "WEIGHTS",
    "file_in",
    "relative_to_root",
    "safe_path",
]

MANIFEST = "manifest.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"

NAMES_SHOWN = 10
"""File names that one error lists."""


def file_in(root: Path, name: str) -> Path | None:
    """The file, if it is there; raises PackageError for a link that leads out of ``root``."""
    path = root / name
    if not path.is_file():
        return None
    homes = [root.resolve()]
    if root.parent.name == "snapshots":
        # The Hugging Face cache: snapshots/<revision>/* link to blobs/*.
        homes.append(root.parent.parent.resolve() / "blobs")
    if not any(path.resolve().is_relative_to(home) for home in homes):
        raise PackageError(
            f"{path}: a link that leads out of the package\nPut the file itself there."
        )
    return path


def relative_to_root(path: Path, root: Path) -> str:
    """The path below ``root``, with ``/`` on every system."""
    return path.relative_to(root).as_posix()


def safe_path(name: str) -> str | None:
    """A path from the manifest; None if it leads out, such as one on the author's machine."""
    try:
        return member_path(name.replace("\\", "/").rstrip("/"))
    except Refused:
        return None

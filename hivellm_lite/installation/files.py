"""The files of a package on their way into the folder of installed experts."""

from __future__ import annotations

import os
from pathlib import Path

from ..archive.limits import LIMITS, Refused
from ..archive.names import is_desktop_litter, member_path, never_unpacked
from ..cache.digests import digest_file
from ..errors import PackageError
from ..manifest.records import Manifest
from ..package.digests import folder_digest
from ..package.files import file_in, relative_to_root
from ..package.opening import MAX_WEIGHTS_BYTES, Package
from ..package.walking import entries_below, files_below
from ..storage.disk_space import require_space
from ..storage.whole_files import flush_file
from ..strict_json.parsing import shown
from .asked import asked_name
from .records import RECORD_SUFFIX

__all__ = [
    "CURRENT",
    "check_identity",
    "copy_package",
    "files_digest",
    "flush_files",
    "folder_size",
]

CURRENT = "current.txt"
"""Beside the versions of an expert: the version that was installed last, as HiveLLM writes it."""

MAX_NAME_BYTES = 150
"""Of a name or version in UTF-8: names of files are made of it, which have at most 255 bytes."""

MAX_SIZED = 10_000
"""Files and folders whose size is added up. A package has fifteen; a link may lead anywhere."""

MAX_FOLDER_BYTES = MAX_WEIGHTS_BYTES + LIMITS.total_bytes
"""The most that is copied: what `open_package` accepts of a folder."""


def check_identity(manifest: Manifest) -> None:
    """Raise PackageError unless name and version can be the names of folders on any system, and
    the name is one that commands do not take for a path or an option.
    """
    for what, name in (("name", manifest.name), ("version", manifest.version)):
        try:
            fits = member_path(name) == name and not name.startswith(".")
        except Refused:
            fits = False
        fits = fits and len(name.encode()) <= MAX_NAME_BYTES
        if not fits or name.lower().endswith(RECORD_SUFFIX) or name.lower() == CURRENT:
            raise _no_name(f"the {what} {shown(name)} cannot be the name of a folder everywhere")
    if asked_name(manifest.name) is None:
        raise _no_name(f"the name {shown(manifest.name)} would be taken for a path or an option")


def _no_name(problem: str) -> PackageError:
    return PackageError(
        f"{problem}\nSuch a package can be loaded from its file, but not installed."
    )


def copy_package(package: Package, target: Path) -> None:
    """Copy a package that is a folder: all regular files but pickles, programs, GGUF and git's.

    Links that stay inside are followed. Raises PackageError and OSError.
    """
    root = package.root
    kept = {path for one in package.soft_prompts for path in (one.weights, one.config)}
    files = []
    total = 0
    for path in entries_below(root, without=(".git",)):
        name = relative_to_root(path, root)
        if is_desktop_litter(name) or (never_unpacked(name) and path not in kept):
            continue
        if file_in(root, name) is None:  # a pipe, a socket, a link to nothing
            continue
        try:
            files.append((path, member_path(name)))
        except Refused as error:
            raise PackageError(f"{root}: {error}") from None
        total += path.stat().st_size
        if len(files) > LIMITS.members or total > MAX_FOLDER_BYTES:
            raise PackageError(
                f"{root}: more than {LIMITS.members} files or {MAX_FOLDER_BYTES / 1e9:.0f} GB\n"
                "An expert package has about fifteen files."
            )
    require_space(target, total, f"installing {package.manifest.identity}", "Make room.")
    for path, name in files:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as source, place.open("xb") as copy:
            left = MAX_FOLDER_BYTES
            while left > 0 and (piece := source.read(min(1 << 20, left))):
                copy.write(piece)
                left -= len(piece)


def files_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of all files of an installed package."""
    return folder_digest(folder, files_below(folder), digest_file)


def folder_size(folder: Path) -> int | None:
    """Bytes of all files, without those of linked folders; None if they cannot be counted.

    0 if the folder is gone. A folder that is linked may be anything, and of anybody.
    """
    total = count = 0
    pending = [folder]
    try:
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > MAX_SIZED:
                        return None
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    elif entry.is_file():
                        total += entry.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError:
        return None
    return total


def flush_files(folder: Path) -> None:
    """Wait until the disk holds all files. Raises OSError."""
    for path in files_below(folder):
        flush_file(path)

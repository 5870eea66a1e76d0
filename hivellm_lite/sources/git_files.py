"""The files of a commit, taken from a repository without checking it out.

``git checkout`` would create links, and run the filters that a repository's ``.gitattributes``
names. Here git lists the files of the commit and prints their bytes; writing them is our own work,
under the names and limits that archives are held to.
"""

from __future__ import annotations

import posixpath
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..archive.limits import LIMITS, Refused
from ..archive.names import TakenNames, member_path, never_unpacked
from ..errors import LoadError, ManifestError, PackageError
from ..manifest.parsing import parse_manifest
from ..package.soft_prompts import soft_prompt_paths
from .git_program import GitTooLarge, run_git, started_git

__all__ = ["write_package_files"]

_MANIFEST = "manifest.json"
_SUFFIX = ".expert"
_WEIGHTS = ".safetensors"
_LINK, _FILES = "120000", ("100644", "100755", "100664")
_MAX_LIST = 16 << 20
_MAX_LINK = 4096
_MAX_MANIFEST = 1 << 20
_CHUNK = 1 << 20

_LFS = b"version https://git-lfs.github.com/spec/"
_LFS_BYTES = 1024
_LFS_MATTERS = (_SUFFIX, _WEIGHTS, ".json", ".gbnf", ".jinja")


@dataclass(frozen=True)
class _Blob:
    """A file of the commit: git's name for its contents, and its size."""

    mode: str
    name: str
    size: int


def write_package_files(repository: Path, commit: str, folder: Path, shown: str) -> Path:
    """Write the package that the commit holds below ``folder``; returns its folder or archive.

    It is the whole commit if there is a ``manifest.json`` at its top, or else its one ``.expert``
    file. Programs, pickles and what concerns git stay out. ``shown`` names the repository in
    errors. Raises PackageError if there is no package, or if it breaks a rule for archives.
    """
    try:
        listing = run_git(
            repository,
            ["ls-tree", "-r", "-l", "-z", "--full-tree", commit],
            max_bytes=_MAX_LIST,
        )
    except GitTooLarge:
        raise PackageError(f"{shown}: too many files for a package") from None
    with _Contents(repository) as contents:
        blobs = _followed(_listed(listing), contents, shown)
        wanted = _wanted(blobs, contents, shown)
        _check(wanted, blobs, shown)
        for path in wanted:
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as out:
                head = contents.copy(blobs[path], out)
            if head.startswith(_LFS) and path.endswith(_LFS_MATTERS):
                raise _no_lfs(path, shown)
    return folder if _MANIFEST in wanted else folder / wanted[0]


class _Contents:
    """One ``git cat-file --batch``, which prints what it is asked for."""

    def __init__(self, repository: Path) -> None:
        pipe = subprocess.PIPE
        self._started = started_git(
            repository, ["cat-file", "--batch"], "file", pipe, pipe, subprocess.DEVNULL
        )

    def __enter__(self) -> _Contents:
        self._git = self._started.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._started.__exit__(None, None, None)

    def read(self, blob: _Blob) -> bytes:
        """The bytes of a small file."""
        return b"".join(self._chunks(blob))

    def copy(self, blob: _Blob, out: IO[bytes]) -> bytes:
        """Write the bytes of a file; returns the first of them."""
        head = b""
        for chunk in self._chunks(blob):
            head = head or chunk[:_LFS_BYTES]
            out.write(chunk)
        return head

    def _chunks(self, blob: _Blob) -> Iterable[bytes]:
        asked, answer = self._git.stdin, self._git.stdout
        assert asked is not None  # noqa: S101
        assert answer is not None  # noqa: S101
        try:
            asked.write(f"{blob.name}\n".encode())
            asked.flush()
        except OSError as error:
            raise LoadError("git ended while it was asked for files\nTry again.") from error
        if answer.readline(200) != f"{blob.name} blob {blob.size}\n".encode():
            raise LoadError(f"git does not find {blob.name} in what it fetched\nTry again.")
        left = blob.size + 1  # and a line feed
        while left:
            chunk = answer.read(min(left, _CHUNK))
            if not chunk:
                raise LoadError("git ended in the middle of a file\nTry again.")
            left -= len(chunk)
            yield chunk if left else chunk[:-1]


def _listed(listing: bytes) -> dict[str, _Blob]:
    """The files and links of ``git ls-tree -l -z``: MODE SP TYPE SP NAME SP+ SIZE TAB PATH."""
    blobs = {}
    for entry in listing.split(b"\0"):
        facts, tab, path = entry.partition(b"\t")
        parts = facts.decode("ascii", "replace").split()
        if tab and len(parts) == 4 and parts[3].isdecimal():
            blobs[path.decode("utf-8", "surrogateescape")] = _Blob(
                parts[0], parts[2], int(parts[3])
            )
    return blobs


def _followed(blobs: Mapping[str, _Blob], contents: _Contents, shown: str) -> dict[str, _Blob]:
    """The files, and in place of links to files what they lead to. Other links are left out.

    Raises PackageError for a link that leads out of the repository.
    """
    files = {path: blob for path, blob in blobs.items() if blob.mode in _FILES}
    links = {path: blob for path, blob in blobs.items() if blob.mode == _LINK}
    if len(links) > LIMITS.members:
        raise PackageError(f"{shown}: over {LIMITS.members} links")
    found = dict(files)
    for path, link in links.items():
        if link.size > _MAX_LINK:
            raise PackageError(f"{shown}: {path!r:.200} is a link of {link.size} characters")
        target = contents.read(link).decode("utf-8", "surrogateescape")
        end = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if end.startswith(("/", "../")) or end == "..":
            raise PackageError(
                f"{shown}: {path!r:.200} is a link that leads out of the repository: "
                f"{target!r:.200}\nAsk its author to put the file itself there."
            )
        if end in files:
            found[path] = files[end]
    return found


def _wanted(blobs: Mapping[str, _Blob], contents: _Contents, shown: str) -> list[str]:
    """The files to write: those of the package at the top, or one archive, which comes first."""
    safe = [path for path in blobs if _is_safe(path)]
    archives = [path for path in safe if path.endswith(_SUFFIX)]
    has_weights = any(path.endswith(_WEIGHTS) for path in safe)
    # A repository of an author may have the manifest beside the packed package.
    if _MANIFEST in blobs and (has_weights or not archives):
        programs = [path for path in safe if never_unpacked(path)]
        opened = _soft_prompts(blobs[_MANIFEST], contents, programs)
        return [path for path in safe if not never_unpacked(path) or path in opened]
    if len(archives) == 1:
        return [path for path in (archives[0], f"{archives[0]}.sha256") if path in blobs]
    if archives:
        listed = "\n".join(f"  {path}" for path in sorted(archives)[:20])
        raise PackageError(
            f"{shown} holds several packages:\n{listed}\n"
            "Download the one that you want, and install the file."
        )
    held = ", ".join(sorted({path.partition("/")[0] for path in safe})[:10]) or "nothing"
    raise PackageError(
        f"{shown} is not an expert package: no {_MANIFEST}, no {_SUFFIX} file\nIt holds {held}"
    )


def _soft_prompts(manifest: _Blob, contents: _Contents, names: list[str]) -> frozenset[str]:
    """The files called pickles that the manifest lists as soft prompts."""
    if manifest.size > _MAX_MANIFEST or not names:
        return frozenset()
    try:
        return soft_prompt_paths(parse_manifest(contents.read(manifest))).intersection(names)
    except ManifestError:  # is raised when the package is opened
        return frozenset()


def _is_safe(path: str) -> bool:
    """Whether the name can be stored everywhere and concerns the package, not git."""
    if any(part.lower().startswith(".git") for part in path.split("/")):
        return False
    try:
        return member_path(path) == path
    except (Refused, UnicodeError):
        return False


def _check(wanted: list[str], blobs: Mapping[str, _Blob], shown: str) -> None:
    if len(wanted) > LIMITS.members:
        raise PackageError(
            f"{shown}: {len(wanted)} files; a package may have {LIMITS.members}\n"
            "Ask its author for the packed package, or clone it and install its folder."
        )
    size = sum(blobs[path].size for path in wanted)
    if size > LIMITS.total_bytes:
        raise PackageError(
            f"{shown}: {size / 1e6:.0f} MB of files; a package may have "
            f"{LIMITS.total_bytes / 1e6:.0f} MB\n"
            "If you trust it, clone it with git and load the folder."
        )
    names = TakenNames()
    try:
        for path in wanted:
            names.claim(path)
    except Refused as error:
        raise PackageError(f"{shown}: {error}") from None


def _no_lfs(path: str, shown: str) -> PackageError:
    return PackageError(
        f"{shown}: {path} is kept with Git LFS, and the repository holds only a pointer to it\n"
        "Get the files themselves: git clone, then git lfs pull; then install the folder."
    )

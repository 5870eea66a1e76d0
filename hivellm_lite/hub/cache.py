"""The Hugging Face cache, which other programs share.

Only this module knows the layout, which the client documents
(huggingface.co/docs/huggingface_hub/guides/manage-cache)::

    models--Qwen--Qwen3-0.6B/
        refs/main                      the commit that main was when it was last asked for
        blobs/<digest>                 contents, each once
        snapshots/<commit>/<file>      links to blobs; where links cannot be made, the file

Nothing here needs a network or imports ``huggingface_hub``.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..storage.held_files import replace
from ..storage.whole_files import temporary_name, whole_file
from .connection import Hub, HubFile
from .reference import MAIN, HubReference

__all__ = ["RepositoryCache", "commit_of", "digest_of_blob"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RepositoryCache:
    """The part of the cache that belongs to one repository. It need not exist."""

    hub_cache: Path
    folder: Path

    @classmethod
    def of(cls, hub: Hub, reference: HubReference) -> RepositoryCache:
        name = "models--" + reference.repository.replace("/", "--")
        return cls(hub.cache, hub.cache / name)

    def snapshot(self, reference: HubReference) -> Path | None:
        """The folder of the revision that was downloaded last, in part or whole; or None."""
        commit = reference.revision or MAIN
        if not reference.is_pinned:
            try:
                commit = (self.folder / "refs" / commit).read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError):
                return None
        folder = self.folder / "snapshots" / commit
        return folder if _COMMIT.fullmatch(commit) and folder.is_dir() else None

    def place(self, commit: str, name: str) -> Path:
        return self.folder / "snapshots" / commit / name

    def blob(self, file: HubFile) -> Path:
        return self.folder / "blobs" / file.digest

    def partial(self, file: HubFile) -> Path:
        """Where a download grows. Nobody reads this file as the finished one."""
        return self.folder / "blobs" / f"{file.digest}.incomplete"

    def lock(self, file: HubFile) -> Path:
        """The client's own lock for this file, so that the client and we download it only once."""
        return self.hub_cache / ".locks" / self.folder.name / f"{file.digest}.lock"

    def holds(self, commit: str, file: HubFile) -> bool:
        return _has_size(self.place(commit, file.name), file.size)

    def link(self, commit: str, file: HubFile) -> bool:
        """Put the finished blob into the snapshot; False if there is no such blob."""
        blob, place = self.blob(file), self.place(commit, file.name)
        if not _has_size(blob, file.size):
            return False
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_name(place)
        try:
            temporary.symlink_to(os.path.relpath(blob, place.parent))
            replace(temporary, place)
        except (OSError, NotImplementedError):
            # Windows without the right to make links: the client, too, moves the file.
            replace(blob, place)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def remember(self, reference: HubReference, commit: str) -> None:
        """Note which commit the branch or tag is; in a read-only cache nothing is noted."""
        if reference.is_pinned:
            return
        place = self.folder / "refs" / (reference.revision or MAIN)
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(place) as file:
                file.write(commit.encode())


def commit_of(path: Path) -> str | None:
    """The commit of a file or folder in a snapshot; None for a path elsewhere."""
    parts = path.absolute().parts
    places = [i for i, part in enumerate(parts[:-1]) if part == "snapshots"]
    commit = parts[places[-1] + 1] if places else ""
    return commit if _COMMIT.fullmatch(commit) else None


def digest_of_blob(path: Path) -> str | None:
    """The SHA-256 of a large file in the cache, known from its blob's name."""
    blob = path.resolve()
    return blob.name if blob.parent.name == "blobs" and _SHA256.fullmatch(blob.name) else None


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.is_file() and path.stat().st_size == size
    except OSError:
        return False

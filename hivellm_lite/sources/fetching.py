"""Brings the files of a source to this machine, whatever kind of source it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ..archive.limits import LIMITS
from ..errors import PackageError
from ..hub import Hub, fetch_package
from ..hub.cache import commit_of
from ..progress import Progress
from .git import fetch_commit
from .source import ArchiveFile, Folder, HubRepository, Source, WebFile
from .web import fetch_file

__all__ = ["Fetched", "fetch"]


@dataclass(frozen=True)
class Fetched:
    """A package as it arrived.

    ``path`` is an archive or a folder, for `open_package`. ``source`` is the text of what was
    asked for. ``pinned`` is the text of a source that gives the same bytes again: with a commit
    in place of a branch, or with a digest; None for a file or folder, which may change at any
    time. ``revision`` is the commit, if the source has any.
    """

    path: Path
    source: str
    pinned: str | None
    revision: str | None = None


def fetch(
    source: Source,
    folder: Path,
    *,
    hub: Hub,
    progress: Progress | None = None,
    verify: bool = True,
) -> Fetched:
    """Fetch a package into ``folder``, which is empty and which the caller removes.

    What is on this machine, or in the Hugging Face cache, is not copied: ``path`` is where it is.
    ``hub`` says, too, whether the network may be used, and how patiently. ``verify=False`` accepts
    an https address without a digest. Raises PackageError if there is no such package or its
    digest differs, and LoadError if the network fails.
    """
    if isinstance(source, ArchiveFile | Folder):
        return Fetched(source.path, source.text, None)
    if isinstance(source, HubRepository):
        return _from_hub(source, hub, progress)
    if isinstance(source, WebFile) and source.sha256 is None and verify:
        raise PackageError(
            f"{source.text}: no digest: whoever controls the server could send anything\n"
            "Add #sha256=DIGEST. The author publishes the digest; 'sha256sum FILE' prints that of "
            "a file that you have checked. --no-verify (verify=False) does without."
        )
    if isinstance(source, WebFile):
        path, sha256 = fetch_file(
            source, folder, hub=hub, progress=progress, max_bytes=LIMITS.archive_bytes
        )
        return Fetched(path, source.text, replace(source, sha256=sha256).text)
    path, commit = fetch_commit(source, folder, hub=hub, progress=progress)
    return Fetched(path, source.text, source.at(commit).text, commit)


def _from_hub(source: HubRepository, hub: Hub, progress: Progress | None) -> Fetched:
    path = fetch_package(source.reference, hub=hub, progress=progress)
    commit = commit_of(path)
    if commit is None:
        return Fetched(path, source.text, None)
    reference = replace(source.reference, revision=commit)
    return Fetched(path, source.text, str(reference), commit)

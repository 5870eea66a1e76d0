"""Expert packages on the Hub: one ``.expert`` file of a repository, or all of it."""

from __future__ import annotations

import os
from pathlib import Path

from ..archive.names import never_unpacked
from ..errors import BaseNotFoundError, LoadError, PackageError
from ..progress import Progress
from ..user_paths import path_exists, user_path
from .cache import RepositoryCache
from .connection import Hub, Listing
from .download import fetch_files
from .reference import HubReference, parse_reference

__all__ = ["fetch_package", "locate_package"]

_MANIFEST = "manifest.json"
_SUFFIX = ".expert"


def locate_package(
    path: str | os.PathLike[str], *, hub: Hub, progress: Progress | None = None
) -> Path:
    """``path`` if it exists here or cannot name a repository; otherwise fetch it from the Hub.

    Raises PackageError if neither this machine nor the Hub has the package, and LoadError if
    the download fails.
    """
    local = user_path(path)
    reference = parse_reference(path) if isinstance(path, str) else None
    if reference is None or path_exists(local):
        return local
    try:
        return fetch_package(reference, hub=hub, progress=progress)
    except PackageError as error:
        raise PackageError(
            f"{path}: no such file or folder here, and on the Hub:\n{error}"
        ) from error


def fetch_package(reference: HubReference, *, hub: Hub, progress: Progress | None = None) -> Path:
    """Download the package: its archive, with its digest file beside it, or its folder.

    The Hub is asked for the newest files of a branch. If the Hub cannot be reached, the files
    of an earlier download are used. Raises PackageError if the repository is not a package,
    and LoadError if the download fails.
    """
    before = _cached(hub, reference)
    if before is not None and (hub.offline or reference.is_pinned):
        return before
    try:
        listing = hub.list_files(reference)
    except BaseNotFoundError as error:
        raise PackageError(str(error)) from error
    except LoadError:
        if before is not None:
            return before
        raise
    names = _wanted(listing)
    try:
        folder = fetch_files(hub, listing, names, progress)
    except BaseNotFoundError as error:
        raise PackageError(str(error)) from error
    return folder if _MANIFEST in names else folder / names[0]


def _wanted(listing: Listing) -> list[str]:
    """The files to download; the archive comes first."""
    reference = listing.reference
    archives = [name for name in listing.names if name.endswith(_SUFFIX)]
    if reference.file is not None:
        if reference.file not in listing.names:
            listed = ", ".join(archives) or "none"
            raise PackageError(
                f"{reference.repository} holds no file {reference.file}\n"
                f"Its {_SUFFIX} files: {listed}"
            )
        archives = [reference.file]
    elif _MANIFEST in listing.names:
        return [name for name in listing.names if not never_unpacked(name)]
    if len(archives) == 1:
        return [name for name in (archives[0], f"{archives[0]}.sha256") if name in listing.names]
    if archives:
        listed = "\n".join(f"  {reference.repository}:{name}" for name in archives)
        raise PackageError(f"{reference.repository} holds several packages; name one:\n{listed}")
    found = ", ".join(listing.names[:10]) or "nothing"
    raise PackageError(
        f"{reference.repository} is not an expert package: no {_MANIFEST}, no {_SUFFIX} file\n"
        f"It holds {found}"
    )


def _cached(hub: Hub, reference: HubReference) -> Path | None:
    """The package as an earlier call downloaded it, or None."""
    folder = RepositoryCache.of(hub, reference).snapshot(reference)
    if folder is None:
        return None
    if reference.file is not None:
        return folder / reference.file if (folder / reference.file).is_file() else None
    if (folder / _MANIFEST).is_file():
        return folder
    archives = sorted(folder.rglob(f"*{_SUFFIX}"))
    return archives[0] if len(archives) == 1 else None

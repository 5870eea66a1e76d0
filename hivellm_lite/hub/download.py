"""Downloads files of a repository into the Hugging Face cache.

A download grows in ``blobs/<digest>.incomplete``. Its size and digest are compared with the Hub's
list, then it is renamed, so a file under its final name is whole. A download that broke off
resumes where it stopped, in this run or a later one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import LoadError
from ..progress import Progress
from ..storage.disk_space import is_disk_full, require_space
from ..storage.held_files import replace
from ..storage.whole_files import flush_file
from .cache import RepositoryCache
from .connection import TIMEOUT_S, Hub, HubFile, Listing, request_headers
from .failures import explain
from .resuming import append_body, resume, size_of

__all__ = ["difference", "fetch_files"]

_CHUNK = 1 << 20

_LOCK_TIMEOUT_S = 6 * 3600.0
"""How long another process may take to download the same file, in seconds."""


def fetch_files(
    hub: Hub, listing: Listing, names: Iterable[str], progress: Progress | None = None
) -> Path:
    """Download the files that the cache lacks; returns the snapshot's folder.

    ``progress`` counts the bytes of all files. Raises BaseNotFoundError if a file is no longer
    on the Hub, and LoadError for every other failure.
    """
    cache = RepositoryCache.of(hub, listing.reference)
    wanted = set(names)
    files = [file for file in listing.files if file.name in wanted]
    missing = [file for file in files if not cache.holds(listing.commit, file)]
    total = sum(file.size for file in files)
    before = total - sum(file.size for file in missing)
    label = f"Downloading {listing.reference.repository}"
    try:
        _check_disk(cache, missing)
        for file in missing:

            def report(done: int, before: int = before) -> None:
                if progress is not None:
                    progress(label, before + done, total)

            _fetch(hub, listing, cache, file, report)
            before += file.size
        cache.remember(listing.reference, listing.commit)
    except OSError as error:
        raise _explain_disk(error, hub.cache) from error
    return cache.place(listing.commit, "")


def _fetch(
    hub: Hub, listing: Listing, cache: RepositoryCache, file: HubFile, report: Callable[[int], None]
) -> None:
    """Put one file in place: link its contents if the cache has them, or else download them."""
    import filelock  # as in the cache: not needed for what is here already

    lock = cache.lock(file)
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(lock, timeout=_LOCK_TIMEOUT_S):
            if not cache.link(listing.commit, file):
                _download(hub, listing, cache, file, report)
                cache.link(listing.commit, file)
    except filelock.Timeout:
        raise LoadError(
            f"another process has been downloading {file.name} for over "
            f"{_LOCK_TIMEOUT_S / 3600:.0f} hours\nIf none is running, delete {lock}."
        ) from None


def _download(
    hub: Hub, listing: Listing, cache: RepositoryCache, file: HubFile, report: Callable[[int], None]
) -> None:
    partial = cache.partial(file)
    partial.parent.mkdir(parents=True, exist_ok=True)
    resumed = size_of(partial) > 0
    while True:
        _receive(hub, listing, partial, file, report)
        problem = difference(partial, file)
        if problem is None:
            break
        partial.unlink()
        # What an earlier run left may be to blame: once more, from the start.
        if not resumed:
            raise LoadError(
                f"{file.name} of {listing.reference.repository} is not what the Hub lists\n"
                f"  {problem}\nIt was removed. Try again; if it stays so, the server, a mirror "
                "or a proxy in between alters the file."
            )
        resumed = False
    flush_file(partial)
    replace(partial, cache.blob(file))


def _receive(
    hub: Hub, listing: Listing, partial: Path, file: HubFile, report: Callable[[int], None]
) -> None:
    """Download into ``partial``, after the bytes that are there already."""
    url = hub.file_url(listing.reference.repository, listing.commit, file.name)
    if size_of(partial) > file.size:
        partial.unlink()

    def request(start: int) -> None:
        if start < file.size or not partial.exists():
            _append(url, partial, start, file.size, report)

    def explained(error: Exception) -> LoadError:
        return explain(error, hub.endpoint, listing.reference, file.name)

    resume(hub, partial, request, explained)


def _append(url: str, partial: Path, start: int, size: int, report: Callable[[int], None]) -> None:
    """One request: write the bytes from ``start`` on, at most one chunk more than ``size``."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import hf_raise_for_status

    headers = request_headers(range=f"bytes={start}-") if start else request_headers()
    with get_session().stream(
        "GET", url, headers=headers, timeout=TIMEOUT_S, follow_redirects=True
    ) as response:
        hf_raise_for_status(response)
        # 200 instead of 206: the server knows no ranges and sends everything.
        start = start if response.status_code == 206 else 0
        append_body(response.iter_bytes(), partial, start, size, report)


def difference(path: Path, file: HubFile) -> str | None:
    """What is wrong with the received file; None if it is as the Hub lists it."""
    size = size_of(path)
    if size != file.size:
        found = f"over {file.size}" if size > file.size else f"{size}"
        return f"found {found} bytes, expected {file.size}"
    large = len(file.digest) == 64
    # Not for security: it is how git names the small files.
    digest = hashlib.sha256() if large else hashlib.sha1(f"blob {size}\0".encode())  # noqa: S324
    with path.open("rb") as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() == file.digest:
        return None
    return (
        f"found {'SHA-256' if large else 'git SHA-1'} {digest.hexdigest()}, expected {file.digest}"
    )


def _check_disk(cache: RepositoryCache, files: list[HubFile]) -> None:
    needed = sum(file.size - min(file.size, size_of(cache.partial(file))) for file in files)
    advice = "Make room, or set HF_HOME to a folder on another disk."
    require_space(cache.hub_cache, needed, "the download", advice)


def _explain_disk(error: OSError, folder: Path) -> LoadError:
    if is_disk_full(error):
        return LoadError(
            f"the disk of the Hugging Face cache {folder} is full\n"
            "Make room, or set HF_HOME to a folder on another disk. "
            "What has arrived is kept; the next try resumes there."
        )
    return LoadError(
        f"cannot write to the Hugging Face cache {folder}: {error.strerror or error}\n"
        "Set HF_HOME to a folder that can be written."
    )

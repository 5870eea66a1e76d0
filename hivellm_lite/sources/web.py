"""Downloads a packed package from the web. It gets its name once its digest is right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ..archive.limits import LIMITS, Refused
from ..archive.names import member_path
from ..cache.digests import digest_file
from ..errors import LoadError, PackageError
from ..hub import Hub
from ..hub.resuming import append_body, resume, size_of
from ..progress import Progress
from ..storage.disk_space import is_disk_full, require_space
from ..storage.held_files import replace
from ..storage.whole_files import flush_file
from .addresses import Address, parse_address
from .source import WebFile
from .web_requests import explain_web, open_address

__all__ = ["fetch_file"]

_SUFFIX = ".expert"


def fetch_file(
    source: WebFile, folder: Path, *, hub: Hub, progress: Progress | None, max_bytes: int
) -> tuple[Path, str]:
    """Download into ``folder``; returns the archive and its SHA-256.

    Raises PackageError if there is no such file, if it is larger than ``max_bytes``, or if its
    digest is another one; LoadError if offline or if the network or the disk fails.
    """
    address = parse_address(source.url)
    if hub.offline:
        raise LoadError(
            f"{address} was not fetched: offline\n"
            "Allow the network (HF_HUB_OFFLINE=0, without --offline), or download it beforehand."
        )
    place = folder / _name(address)
    partial = place.with_name(f"{place.name}.incomplete")

    def report(done: int, total: int) -> None:
        if progress is not None:
            progress(f"Downloading {place.name}", done, max(done, total))

    try:
        _receive(address, partial, hub, max_bytes, report)
        digest = digest_file(partial)
        if source.sha256 not in (digest, None):
            partial.unlink()
            raise PackageError(
                f"{address} is not the file of this digest\n"
                f"  found    {digest}\n  expected {source.sha256}\n"
                "It was removed. Either the digest is that of another version, or somebody "
                "replaced the file: ask its author."
            )
        flush_file(partial)
        replace(partial, place)
    except OSError as error:
        full = "the disk is full" if is_disk_full(error) else error.strerror or error
        raise LoadError(f"cannot write {partial}: {full}\nMake room, then try again.") from error
    return place, digest


def _receive(
    address: Address,
    partial: Path,
    hub: Hub,
    max_bytes: int,
    report: Callable[[int, int], None],
) -> None:
    known = ""  # what the server calls this version of the file

    def request(start: int) -> None:
        nonlocal known
        wanted = {"range": f"bytes={start}-"} if start else {}
        if start and known:
            wanted["if_range"] = known
        with open_address(address, **wanted) as response:
            tag = response.headers.get("etag", "")
            known = "" if tag.startswith("W/") else tag
            # 200 instead of 206: the server knows no ranges, or has another file by now.
            start = start if response.status_code == 206 else 0
            length = response.headers.get("content-length", "")
            total = start + int(length) if length.isdecimal() and len(length) < 20 else 0
            if total > max_bytes:
                raise _too_large(address, max_bytes)
            require_space(partial.parent, total - start, "the download", "Make room.")
            # As sent: what a server says about compression changes nothing about the digest.
            append_body(
                response.iter_raw(),
                partial,
                start,
                max_bytes,
                lambda done: report(done, total),
            )

    resume(hub, partial, request, lambda error: explain_web(error, address))
    if size_of(partial) > max_bytes:
        partial.unlink()
        raise _too_large(address, max_bytes)


def _too_large(address: Address, max_bytes: int) -> PackageError:
    return PackageError(
        f"{address}: over {max_bytes / 1e6:.0f} MB, the most that an archive may have "
        f"({LIMITS.total_bytes / 1e6:.0f} MB may be in it)\n"
        "Check that this is the address of a package."
    )


def _name(address: Address) -> str:
    """The file's own name, if every system can store it."""
    name = PurePosixPath(address.path).name
    try:
        return member_path(name) if name.endswith(_SUFFIX) else f"package{_SUFFIX}"
    except Refused:
        return f"package{_SUFFIX}"

"""Reads indexes: files, and addresses, of which a copy is kept for when there is no network.

A copy is one file: a line of JSON with what the server said about it, and then the index.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..cache.digests import digest_of
from ..cache.folder import INDEXES, default_root
from ..errors import LoadError
from ..hub.failures import transport_errors
from ..storage.whole_files import whole_file
from ..user_paths import noted_path, user_path
from .addresses import Address, AddressError, parse_address
from .index_entries import MAX_BYTES, Index, parse_index
from .web_requests import explain_web, open_address

__all__ = ["read_index", "read_indexes"]

FRESH_S = 60.0
"""For how long a server is not asked again: one installation may look up thirty names."""

_MAX_HEAD, _MAX_FIELD = 4096, 500


@dataclass(frozen=True)
class _Copy:
    """A copy of an index. ``checked`` is when it was last known to be the newest, in seconds."""

    data: bytes
    etag: str
    last_modified: str
    checked: float


def read_indexes(
    places: Iterable[str], *, offline: bool, cache_root: Path | None = None
) -> tuple[tuple[Index, ...], tuple[str, ...]]:
    """The indexes that can be read, and a warning for each of the others."""
    indexes, warnings = [], []
    for place in places:
        try:
            indexes.append(read_index(place, offline=offline, cache_root=cache_root))
        except LoadError as error:  # noqa: PERF203 - one bad index is not the end
            warnings.append(str(error))
    return tuple(indexes), tuple(warnings)


def read_index(place: str, *, offline: bool, cache_root: Path | None = None) -> Index:
    """Read the index at a path or an https address.

    If the server cannot be asked, its copy in the cache folder ``cache_root`` is used, with a
    note. Raises LoadError.
    """
    if "://" not in place:
        return _read_file(noted_path(user_path(place)))
    try:
        address = parse_address(place)
    except AddressError as error:
        raise LoadError(f"index {error}") from None
    if not address.is_trustworthy:
        raise LoadError(f"index {address}: no https address\nGive a path or an https address.")
    kept = (cache_root or default_root()) / INDEXES / f"{digest_of('index', address.url)}.json"
    copy = _read_copy(kept)
    if copy is not None and not offline and _age(kept) < FRESH_S:
        return parse_index(copy.data, str(address))
    reason = "offline"
    if not offline:
        try:
            return _asked(address, copy, kept)
        except LoadError as error:
            if copy is None:
                raise
            reason = str(error).splitlines()[0]
            with contextlib.suppress(OSError):  # not to ask it again at once
                os.utime(kept)
    if copy is None:
        raise LoadError(
            f"index {address} was not asked: offline, and there is no copy of it\n"
            "Allow the network (HF_HUB_OFFLINE=0, without --offline)."
        )
    index = parse_index(copy.data, str(address))
    day = datetime.fromtimestamp(copy.checked, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return replace(index, notes=(f"{reason}; using the copy of {address} of {day}", *index.notes))


def _read_file(path: Path) -> Index:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise LoadError(f"cannot read the index {path}: {reason}\nCheck its path.") from None
    return parse_index(data, str(path))


def _asked(address: Address, copy: _Copy | None, kept: Path) -> Index:
    """The index as the server has it now, of which a copy is kept. Raises LoadError."""
    headers = {}
    if copy is not None and copy.etag:
        headers["if_none_match"] = copy.etag
    if copy is not None and copy.last_modified:
        headers["if_modified_since"] = copy.last_modified
    try:
        with open_address(address, **headers) as response:
            etag = response.headers.get("etag", "")
            modified = response.headers.get("last-modified", "")
            if response.status_code == 304 and copy is not None:
                data, etag, modified = copy.data, copy.etag, copy.last_modified
            else:
                data = _body(response)
    except transport_errors() as error:
        raise explain_web(error, address) from error
    index = parse_index(data, str(address))
    _keep(_Copy(data, etag[:_MAX_FIELD], modified[:_MAX_FIELD], time.time()), kept)
    return index


def _body(response: Any) -> bytes:
    """The body, or a little more of it than an index may have."""
    data = bytearray()
    for chunk in response.iter_raw():
        data += chunk
        if len(data) > MAX_BYTES:
            break
    return bytes(data)


def _read_copy(kept: Path) -> _Copy | None:
    """The copy, if there is one that can be read."""
    try:
        with kept.open("rb") as file:
            head = json.loads(file.readline(_MAX_HEAD))
            data = file.read(MAX_BYTES + 1)
        return _Copy(data, str(head["etag"]), str(head["modified"]), float(head["checked"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _keep(copy: _Copy, kept: Path) -> None:
    """Write the copy; in a read-only cache nothing is kept."""
    head = {"etag": copy.etag, "modified": copy.last_modified, "checked": copy.checked}
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(kept) as file:
            file.write(json.dumps(head).encode() + b"\n" + copy.data)


def _age(kept: Path) -> float:
    """The seconds since the server was asked."""
    try:
        return abs(time.time() - kept.stat().st_mtime)
    except OSError:
        return FRESH_S

"""Makes an index of packed packages."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..cache.store import Cache
from ..errors import LoadError, PackageError
from ..package.opening import Package, open_package
from ..user_paths import is_file, user_path
from .addresses import AddressError, parse_address
from .index_entries import FORMAT, parse_index

__all__ = ["make_index"]


def make_index(
    packages: Sequence[str | os.PathLike[str]],
    *,
    cache: Cache,
    place: Path,
    url: str | None = None,
    verify: bool = True,
) -> str:
    """The text of an index of ``packages``, sorted by name and version.

    ``place`` is where the index will be; the files are named relative to its folder. With ``url``
    they are named below this address, for an index on the web. The same packages give the same
    text. Raises LoadError if a package cannot be opened or two have one name and version.
    """
    base = _checked(url)
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for given in packages:
        path = user_path(given).absolute()
        if not is_file(path):
            raise PackageError(f"{path}: no such file\nAn index lists packed .expert files.")
        package = open_package(path, cache=cache, verify=verify)
        key = (package.manifest.name, package.manifest.version)
        if key in entries:
            raise PackageError(f"{package.manifest.identity} is in two of the files: {path.name}")
        entries[key] = _entry(package, path, place, base)
    listed = [entries[key] for key in sorted(entries)]
    text = json.dumps({"format": FORMAT, "experts": listed}, indent=2, ensure_ascii=False) + "\n"
    # What nobody could read shall not be written.
    index = parse_index(text.encode(), f"{base}index.json" if base else str(place.absolute()))
    if index.notes:
        raise LoadError("\n".join(("an expert cannot be listed in an index:", *index.notes)))
    return text


def _entry(package: Package, path: Path, place: Path, base: str | None) -> dict[str, Any]:
    manifest = package.manifest
    facts = {
        "name": manifest.name,
        "version": manifest.version,
        "source": _source(package.digest, path, place, base),
        "description": manifest.description,
        "capabilities": list(manifest.capabilities),
        "license": manifest.license,
        "sha256": package.digest,
        "size_bytes": path.stat().st_size,
        "publisher_key": package.signature.key if package.signature.state == "signed" else None,
    }
    return {name: value for name, value in facts.items() if value not in (None, [], "")}


def _source(digest: str, path: Path, place: Path, base: str | None) -> str:
    if base is not None:
        return f"{base}{quote(path.name)}#sha256={digest}"
    folder = place.absolute().parent
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return str(path)
    return relative if relative.startswith("..") else f"./{relative}"


def _checked(url: str | None) -> str | None:
    """The address below which the files are, with a slash at its end."""
    if url is None:
        return None
    try:
        address = parse_address(url)
    except AddressError as error:
        raise LoadError(str(error)) from None
    if not address.is_trustworthy:
        raise LoadError(f"{address}: no https address\nOthers install from it.")
    return str(address).rstrip("/") + "/"

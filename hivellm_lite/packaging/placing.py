"""Gives a finished archive its name, and writes its digest file."""

from __future__ import annotations

from pathlib import Path

from ..errors import PackageError
from ..package.digests import write_sidecar
from ..storage.held_files import replace

__all__ = ["put_in_place"]


def put_in_place(archive: Path, place: Path, digest: str) -> Path:
    """Rename ``archive`` to ``place`` and return the digest file beside it.

    At no moment is there a digest file of another archive. Raises PackageError.
    """
    try:
        place.with_name(f"{place.name}.sha256").unlink(missing_ok=True)
        replace(archive, place)
    except OSError as error:
        raise PackageError(
            f"cannot write {place}: {error.strerror or error}\nCheck the folder and its space."
        ) from error
    return write_sidecar(place, digest)

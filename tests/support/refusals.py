"""Archives and packages that must be refused, and what the refusal says."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hivellm_lite.archive import Limits, unpack
from hivellm_lite.cache import Cache
from hivellm_lite.errors import PackageError
from hivellm_lite.package import open_package

from .packages import member

SMALL = Limits(total_bytes=200_000, members=10, ratio=50, ratio_free_bytes=20_000)

GOOD = (member("manifest.json"), b"{}")


def refused(archive: Path, data: bytes, limits: Limits = SMALL) -> str:
    """Unpack ``data``; assert that this fails and leaves no trace. Returns the message."""
    archive.write_bytes(data)
    destination = archive.parent / "nested" / "out"
    with pytest.raises(PackageError) as caught:
        unpack(archive, destination, limits=limits)
    assert not destination.exists()
    assert {path.name for path in archive.parent.iterdir()} == {archive.name, "nested"}
    message = str(caught.value)
    assert message.startswith("evil.expert: ")
    assert len(message.splitlines()) >= 2
    return message


def zip_bytes(*entries: tuple[zipfile.ZipInfo | str, bytes], method: int = 8) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in entries:
            archive.writestr(name, data, compress_type=method)
    return buffer.getvalue()


def failure(path: Path, cache: Cache, **options: Any) -> str:
    """Open the package; assert that this fails. Returns the message."""
    with pytest.raises(PackageError) as caught:
        open_package(path, cache=cache, **options)
    return str(caught.value)

"""Digests of files, and of the inputs of a cache entry."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

__all__ = ["digest_file", "digest_of"]

_CHUNK = 1 << 20


def digest_of(*parts: object) -> str:
    """A cache key: SHA-256 over the JSON of ``parts``, in hex, shortened to 32 digits."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def digest_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()

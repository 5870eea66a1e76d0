"""Splits a base into one file for each kind of tensor, so that variants share the parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..cache.digests import digest_of
from ..cache.sources import SourceWatch
from ..cache.store import Cache
from ..converters.gguf.published_parts import published_parts
from ..converters.gguf.split import split_gguf
from ..progress import Progress

__all__ = ["base_parts", "fingerprints"]

SPLIT_VERSION = 1
"""Part of the cache key; raised when the same base would be split otherwise."""


def fingerprints(base: Path, cache: Cache) -> list[str]:
    """The SHA-256 of every file of the GGUF ``base``."""
    return [cache.fingerprint(part) for part in published_parts(base)]


def base_parts(base: Path, cache: Cache, progress: Progress | None = None) -> list[Path]:
    """The parts of the GGUF ``base`` in loading order, split once into the cache.

    Raises LoadError if it changes meanwhile.
    """
    sources = published_parts(base)
    state = SourceWatch(lambda: sources)

    def build(folder: Path) -> dict[str, Any]:
        def report(done: int, total: int) -> None:
            if progress is not None:
                progress("Splitting the base", done, total)

        return {"name": base.stem, "parts": split_gguf(base, folder, progress=report)}

    key = digest_of("split", SPLIT_VERSION, *fingerprints(base, cache))
    entry, _ = cache.get_or_build("splits", key, state.checked(build), sources=sources)
    return [entry.path / name for name in entry.info["parts"]]

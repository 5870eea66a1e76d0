"""Splits a base into one file for each kind of tensor, so that variants share the parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..cache.digests import digest_of
from ..cache.sources import SourceWatch
from ..cache.store import Cache
from ..converters.gguf.split import split_gguf
from ..progress import Progress

__all__ = ["base_parts"]

SPLIT_VERSION = 1
"""Part of the cache key; raised when the same base would be split otherwise."""


def base_parts(base: Path, cache: Cache, progress: Progress | None = None) -> list[Path]:
    """The parts of the GGUF ``base`` in loading order, split once into the cache.

    Raises LoadError if it changes meanwhile.
    """
    state = SourceWatch(lambda: [base])

    def build(folder: Path) -> dict[str, Any]:
        def report(done: int, total: int) -> None:
            if progress is not None:
                progress("Splitting the base", done, total)

        return {"name": base.stem, "parts": split_gguf(base, folder, progress=report)}

    key = digest_of("split", SPLIT_VERSION, cache.fingerprint(base))
    entry, _ = cache.get_or_build("splits", key, state.checked(build), sources=[base])
    return [entry.path / name for name in entry.info["parts"]]

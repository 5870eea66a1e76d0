"""The cache folder: every file that was derived from something else."""

from __future__ import annotations

from .store import Cache, CacheEntry

__all__ = ["Cache", "CacheEntry"]

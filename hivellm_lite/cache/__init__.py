"""The cache folder: every file that was derived from something else.

Private: may change in any release. `Cache` alone is public.
"""

from __future__ import annotations

from .entries import CacheEntry
from .store import Cache

__all__ = ["Cache", "CacheEntry"]

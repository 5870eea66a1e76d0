"""Versions of the files that are written here: parts of cache keys, kept apart so that looking a
key up loads nothing else.
"""

from __future__ import annotations

__all__ = ["LORA_VERSION", "VARIANT_VERSION"]

LORA_VERSION = 3
"""It rises when the same adapter would become a different file of low-rank pairs."""

VARIANT_VERSION = 3
"""It rises when the same input would become a different variant."""

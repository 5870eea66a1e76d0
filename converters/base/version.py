"""The version of converted bases. Importing it loads nothing else."""

from __future__ import annotations

__all__ = ["FORMAT_VERSION"]

FORMAT_VERSION = 6
"""Part of cache keys. It rises when the same folder would become a different file."""

"""Base models: found by name, path or repository, and converted where needed."""

from __future__ import annotations

from .search import QUANTIZATIONS, BaseFile, Progress, find_base, find_float_weights

__all__ = ["QUANTIZATIONS", "BaseFile", "Progress", "find_base", "find_float_weights"]

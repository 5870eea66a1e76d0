"""Base models: found by name, path or repository, and converted where needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .search import QUANTIZATIONS, BaseFile, Progress, find_base, find_float_weights

__all__ = ["QUANTIZATIONS", "BaseFile", "Progress", "find_base", "find_float_weights"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "search": ["QUANTIZATIONS", "BaseFile", "Progress", "find_base", "find_float_weights"],
    },
)

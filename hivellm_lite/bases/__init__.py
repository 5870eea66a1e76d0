"""Base models: found by name, path or repository, and converted where needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from ..progress import Progress
    from .base_file import BaseFile
    from .conversion import QUANTIZATIONS
    from .float_weights import find_float_weights
    from .search import find_base

__all__ = ["QUANTIZATIONS", "BaseFile", "Progress", "find_base", "find_float_weights"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "base_file": ["BaseFile"],
        "conversion": ["QUANTIZATIONS", "Progress"],
        "float_weights": ["find_float_weights"],
        "search": ["find_base"],
    },
)

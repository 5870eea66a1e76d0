"""How long-running work reports its progress: to a function that the caller gives."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[str, int, int], None]
"""Called with a label (such as ``Converting the base``), the bytes done and the bytes in all."""

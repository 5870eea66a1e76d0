"""How long-running work reports: one function that the caller gives."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done (``Converting the base``), the bytes done, the bytes in all."""

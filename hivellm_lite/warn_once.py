"""Warnings that a process tells once, however often it meets their reason."""

from __future__ import annotations

import logging

__all__ = ["warn_once"]

MAX_TOLD = 100
"""Warnings that are remembered, so as not to repeat them."""

_told: set[str] = set()


def warn_once(logger: logging.Logger, text: str) -> None:
    """Log ``text`` as a warning, unless that was one of the last hundred."""
    if text not in _told:
        if len(_told) >= MAX_TOLD:
            _told.clear()
        _told.add(text)
        logger.warning("%s", text)

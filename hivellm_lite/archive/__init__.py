"""Unpacking archives from strangers: names, members and limits are checked first."""

from __future__ import annotations

from .unpack import LIMITS, Limits, Refused, UnpackReport, unpack

__all__ = ["LIMITS", "Limits", "Refused", "UnpackReport", "unpack"]

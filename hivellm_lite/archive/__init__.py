"""Archives: unpacking those of strangers with care, and packing own ones, the same everywhere."""

from __future__ import annotations

from .packing import pack
from .unpack import LIMITS, Limits, Refused, UnpackReport, unpack

__all__ = ["LIMITS", "Limits", "Refused", "UnpackReport", "pack", "unpack"]

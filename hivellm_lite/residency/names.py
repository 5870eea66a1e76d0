"""The names by which a manager's experts are asked, and those that no expert can have."""

from __future__ import annotations

__all__ = ["AUTO", "BASE", "RESERVED"]

AUTO = "auto"
"""The expert that fits the prompt."""

BASE = "base"
"""The base model alone."""

RESERVED = (AUTO, BASE)

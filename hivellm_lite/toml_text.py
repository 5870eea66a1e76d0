"""TOML, which Python reads itself from 3.11 on."""

from __future__ import annotations

import importlib
import sys
from typing import Any

__all__ = ["parse_toml"]


def parse_toml(data: bytes) -> dict[str, Any]:
    """The tables of a TOML file. Raises ValueError that says what is wrong with it."""
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        found: dict[str, Any] = toml.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None
    return found

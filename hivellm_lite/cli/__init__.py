"""The command-line tool ``hivellm-lite``. Built on the library; holds no logic of its own."""

from __future__ import annotations

from .main import cli, main

__all__ = ["cli", "main"]

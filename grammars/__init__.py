"""Grammars in GBNF, llama.cpp's notation, in one file for each language.

This package holds only data. The grammars have no left recursion.
"""

from __future__ import annotations

__all__: list[str] = []

"""Grammars in GBNF, llama.cpp's notation, one file a language.

Data only; they hold left recursion nowhere.
"""

from __future__ import annotations

__all__: list[str] = []

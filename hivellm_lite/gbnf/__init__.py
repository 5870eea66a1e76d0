"""Reads, checks, repairs, prints, recognises and enforces GBNF grammars, in pure Python.

Private: may change in any release. `Grammar` alone is public.
"""

from __future__ import annotations

from .syntax import Grammar

__all__ = ["Grammar"]

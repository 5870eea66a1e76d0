"""GBNF grammars: read, check, repair, print, recognise, enforce. Pure Python on text and bytes.

Private: may change in any release. `Grammar` alone is public.
"""

from __future__ import annotations

from .syntax import Grammar

__all__ = ["Grammar"]

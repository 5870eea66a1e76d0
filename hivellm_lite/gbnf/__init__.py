"""GBNF grammars: read, check, repair, print, recognise, enforce. Pure Python on text and bytes."""

from __future__ import annotations

from .syntax import Grammar

__all__ = ["Grammar"]

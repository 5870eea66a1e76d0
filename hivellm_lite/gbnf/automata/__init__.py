"""Grammars as automata over bytes.

Private: may change in any release.
"""

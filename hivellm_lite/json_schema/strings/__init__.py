"""Strings of JSON: patterns, formats and lengths as automata, and the grammar rules for them.

Private: may change in any release.
"""

"""Strings of JSON: turns patterns, formats and lengths into automata and grammar rules.

Private: may change in any release.
"""

"""Turns grammars into automata over bytes.

Private: may change in any release.
"""

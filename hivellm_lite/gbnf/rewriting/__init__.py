"""Rewrites grammars into equivalent ones that llama.cpp and our automata can run.

Private: may change in any release.
"""

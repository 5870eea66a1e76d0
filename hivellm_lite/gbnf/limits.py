"""How large a grammar may be.

Grammars come from packages that anyone can write. Whatever a grammar within
these limits says, reading it takes a few seconds and some dozen megabytes at
most, and a function that calls itself for every level of the tree stays clear
of Python's recursion limit.
"""

from __future__ import annotations

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NAME", "MAX_NODES", "MAX_REPETITIONS", "MAX_RULES"]

MAX_BYTES = 1 << 20
"""Bytes of a grammar's text in UTF-8. Published grammars have under 10,000."""

MAX_RULES = 10_000
"""Rules of a grammar. One made from a JSON schema has a few for every property."""

MAX_NAME = 200
"""Characters of a rule's name, so that a message can quote it."""

MAX_NODES = 50_000
"""Literals, classes, rule names, groups and repetitions in all rules together."""

MAX_DEPTH = 64
"""Parentheses and repetition operators around one another.

Comparing two trees takes Python about eight levels of its stack for each of
these, and it has 1,000. llama.cpp has no limit, and ends the process at
20,000 parentheses.
"""

MAX_REPETITIONS = 10_000
"""The highest ``n`` in ``x{m,n}``.

llama.cpp refuses an ``m`` above 2,000 and takes an ``n`` above 2,000 for no limit.
"""

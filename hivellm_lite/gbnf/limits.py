"""Limits on the size of a grammar.

Grammars come from packages that anyone can write. Reading any grammar within these limits takes at
most a few seconds and a few dozen megabytes. A function that calls itself for every level of its
tree stays within Python's recursion limit.
"""

from __future__ import annotations

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NAME", "MAX_NODES", "MAX_REPETITIONS", "MAX_RULES"]

MAX_BYTES = 1 << 20
"""Bytes of a grammar's text in UTF-8. Published grammars have under 10,000."""

MAX_RULES = 10_000
"""Rules of a grammar. A grammar from a JSON schema has a few rules for every property."""

MAX_NAME = 200
"""Characters of a rule's name, so that a message can quote it."""

MAX_NODES = 50_000
"""Nodes of all rules together: literals, classes, rule names, groups and repetitions."""

MAX_DEPTH = 64
"""Levels of nested parentheses and repetition operators.

To compare two trees, Python uses about eight of its 1,000 stack levels for each of these. llama.cpp
has no limit, and 20,000 parentheses end its process.
"""

MAX_REPETITIONS = 10_000
"""The highest ``n`` in ``x{m,n}``.

llama.cpp refuses an ``m`` above 2,000 and treats an ``n`` above 2,000 as no limit.
"""

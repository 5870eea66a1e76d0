"""Limits on the growth of a grammar while it is rewritten."""

from __future__ import annotations

from ...errors import GrammarError
from ..build import parts
from ..limits import MAX_DEPTH, MAX_NODES
from ..syntax import Alternation, Node, Repeat, Sequence

__all__ = ["MAX_NEW_NODES", "Allowance", "depth"]

MAX_NEW_NODES = 2 * MAX_NODES
"""Nodes that one step of a rewriting may make. The bodies that it reads count, too."""


class Allowance:
    """The nodes that a rewriting may still make. Raises `GrammarError` when they are used up."""

    def __init__(self, source: str, what: str) -> None:
        self._source = source
        self._what = what
        self._left = MAX_NEW_NODES

    def spend(self, nodes: int, rule: str) -> None:
        self._left -= nodes
        if self._left < 0:
            raise GrammarError(
                f"{self._source}: rule {rule!r} grows beyond {MAX_NEW_NODES:,} nodes without"
                f" {self._what}\nWrite it with repetition ('*') in place of the recursion."
            )

    def spend_on(self, node: Node, rule: str) -> None:
        """Spend the cost of a node that was made for ``rule``, and check its depth."""
        waiting = [node]
        while waiting:
            self.spend(1, rule)
            waiting.extend(parts(waiting.pop()))
        if depth(node) > MAX_DEPTH:
            raise GrammarError(
                f"{self._source}: rule {rule!r} has more than {MAX_DEPTH} levels of parentheses"
                f" without {self._what}\nWrite its inner parts as rules of their own."
            )


def depth(node: Node) -> int:
    """Levels of nested parentheses and repetition operators in the text of a node."""
    deepest = 0
    waiting: list[tuple[Node, Node | None, int]] = [(node, None, 0)]
    while waiting:
        node, above, level = waiting.pop()
        is_group = (isinstance(node, Alternation) and above is not None) or (
            isinstance(node, Sequence) and isinstance(above, Repeat)
        )
        level += is_group + isinstance(node, Repeat)
        deepest = max(deepest, level)
        waiting.extend((part, node, level) for part in parts(node))
    return deepest

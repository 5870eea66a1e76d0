"""Measures the texts of a tree that refers to no rules, and keeps those within two lengths."""

from __future__ import annotations

from ...gbnf.build import NOTHING, alternation, repeat, sequence
from ...gbnf.syntax import Alternation, CharClass, Literal, Node, Repeat, RuleRef, Sequence

__all__ = ["length_range", "within"]


def length_range(node: Node) -> tuple[int, int | None]:
    """The fewest and the most characters of a text. None means no upper bound.

    Raises ValueError for a reference to a rule, because the length of its texts is not known.
    """
    if isinstance(node, Literal):
        return len(node.text), len(node.text)
    if isinstance(node, CharClass):
        return 1, 1
    if isinstance(node, RuleRef):
        raise ValueError(f"the length of rule {node.name!r} is not known")
    if isinstance(node, Repeat):
        low, high = length_range(node.item)
        if high == 0 or node.maximum == 0:
            return 0, 0
        unbounded = high is None or node.maximum is None
        return low * node.minimum, None if unbounded else (high or 0) * (node.maximum or 0)
    ranges = [length_range(part) for part in _parts(node)]
    highs = [high for _, high in ranges if high is not None]
    whole = len(highs) == len(ranges)
    if isinstance(node, Alternation):
        return min(low for low, _ in ranges), max(highs) if whole else None
    return sum(low for low, _ in ranges), sum(highs) if whole else None


def _parts(node: Sequence | Alternation) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else node.options


def within(node: Node, minimum: int, maximum: int | None) -> Node | None:
    """The texts of ``node`` with ``minimum`` to ``maximum`` characters.

    The result is exact. It exists if all texts are long and short enough, if only one
    repetition of parts of one length varies, and for alternatives of such trees. `NOTHING` if no
    text is within the lengths; None for any other tree.
    """
    low, high = length_range(node)
    if low >= minimum and (maximum is None or (high is not None and high <= maximum)):
        return node
    if (maximum is not None and low > maximum) or (high is not None and high < minimum):
        return NOTHING
    if isinstance(node, Alternation):
        options = [within(option, minimum, maximum) for option in node.options]
        kept = [option for option in options if option is not None]
        return alternation(*kept) if len(kept) == len(options) else None
    items = list(node.items) if isinstance(node, Sequence) else [node]
    ranges = [length_range(item) for item in items]
    varying = [index for index, (least, most) in enumerate(ranges) if least != most]
    if len(varying) != 1:
        return None
    place = varying[0]
    rest = low - ranges[place][0]
    inner = _shortened(items[place], minimum - rest, None if maximum is None else maximum - rest)
    return None if inner is None else sequence(*items[:place], inner, *items[place + 1 :])


def _shortened(node: Node, minimum: int, maximum: int | None) -> Node | None:
    """`within`, for the only part of a sequence whose length varies."""
    if not isinstance(node, Repeat):
        return within(node, minimum, maximum)
    step, longest = length_range(node.item)
    if step != longest:
        return None
    fewest = max(node.minimum, -(-minimum // step))
    most = node.maximum
    if maximum is not None:
        most = maximum // step if most is None else min(most, maximum // step)
    if most is not None and most < fewest:
        return NOTHING
    return repeat(node.item, fewest, most)

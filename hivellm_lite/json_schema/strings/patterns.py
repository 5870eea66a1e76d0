r"""Converts regular expressions to grammar trees over the characters of a string.

JSON Schema searches for a pattern anywhere in the string, so ``[0-9]`` admits ``"room 5"``. The
trees describe whole strings, with any characters before and after unless an anchor forbids them.

The trees cover the common part of ECMA-262 and Python: classes, ``\d \w \s`` and their opposites
(ASCII digits and letters, as in ECMA-262), greedy and lazy quantifiers, groups, alternation,
escapes, and anchors at the ends of alternatives.

Source: JSON Schema 2020-12, Core, section 6.4; ECMA-262, section 22.2.
"""

from __future__ import annotations

from functools import lru_cache

from ...gbnf.build import ANY, alternation, repeat, sequence
from ...gbnf.syntax import EMPTY, Alternation, Node, Repeat, RuleRef, Sequence
from .assertions import END, START
from .pattern_parser import PatternParser, UnsupportedPattern

__all__ = ["UnsupportedPattern", "parse_pattern"]

_ANYTHING = repeat(ANY)


@lru_cache(maxsize=1024)
def parse_pattern(pattern: str) -> Node:
    """All strings in which the pattern is found, as a tree without rule names.

    Raises `UnsupportedPattern` for syntax that no tree can express (look-around, back references)
    and for syntax that is not supported. Raises ValueError for anything but a pattern.
    """
    return _search(PatternParser(pattern).parse(), left=_ANYTHING, right=_ANYTHING)


def _search(node: Node, left: Node | None, right: Node | None) -> Node:
    """The node with the text that may come before and after.

    ``left`` is the text before the node: anything at the beginning of the pattern, nothing after
    ``^``, None if another part of the pattern comes before. ``right`` is the text after the node.
    """
    if isinstance(node, Alternation):
        return alternation(*(_search(option, left, right) for option in node.options))
    items = list(node.items) if isinstance(node, Sequence) else [node]
    while items and items[0] == START:
        left = _anchored(left, "^")
        items.pop(0)
    while items and items[-1] == END:
        right = _anchored(right, "$")
        items.pop()
    if not items:
        both_free = left == right == _ANYTHING
        return _ANYTHING if both_free else sequence(left or EMPTY, right or EMPTY)
    if len(items) == 1:
        if isinstance(items[0], (Alternation, Sequence)):
            return _search(items[0], left, right)
        return sequence(left or EMPTY, _inner(items[0]), right or EMPTY)
    first, *middle, last = items
    return sequence(
        _search(first, left, None),
        *(_inner(item) for item in middle),
        _search(last, None, right),
    )


def _anchored(side: Node | None, anchor: str) -> Node:
    if side is None:
        raise UnsupportedPattern(f"{anchor!r} in the middle of the pattern is not supported")
    return EMPTY


def _inner(node: Node) -> Node:
    """A part between other parts or in a repetition, where no anchor can hold."""
    if isinstance(node, RuleRef):
        raise UnsupportedPattern(f"{node.name!r} in the middle of the pattern is not supported")
    if isinstance(node, Repeat):
        return repeat(_inner(node.item), node.minimum, node.maximum)
    if isinstance(node, Sequence):
        return sequence(*(_inner(item) for item in node.items))
    if isinstance(node, Alternation):
        return alternation(*(_inner(option) for option in node.options))
    return node

"""Arrays: leading items each of its own kind, then a counted number of others."""

from __future__ import annotations

from collections.abc import Callable

from ..gbnf.build import NOTHING, literal, optional, sequence
from ..gbnf.syntax import EMPTY, Node
from .rules import RuleBook
from .shapes import FALSE, Array, Handle

__all__ = ["array_node"]


def array_node(
    shape: Array, rules: RuleBook, written: Callable[[Handle], Node], wanted: str
) -> Node:
    """All arrays of the shape, `NOTHING` if there are none; ``written`` gives a handle's rule."""
    if shape == Array():
        return rules.shared("array")
    comma, gap = rules.layout.comma, rules.layout.gap
    maximum = shape.maximum
    if FALSE in shape.items and (maximum is None or maximum > len(shape.prefix)):
        maximum = len(shape.prefix)
    if maximum is not None and maximum < shape.minimum:
        return NOTHING
    if maximum == 0:
        return sequence(literal("["), gap, literal("]"))
    own = len(shape.prefix) if maximum is None else min(len(shape.prefix), maximum)
    # Backwards, so that what follows an item is known; the first has no comma before it.
    done = max(own, 1)
    tail: Node = EMPTY
    if maximum is None or maximum > done:
        others = sequence(comma, written(shape.items))
        most = None if maximum is None else maximum - done
        tail = rules.counted(f"{wanted}-items", others, max(0, shape.minimum - done), most)
    for index in range(done - 1, 0, -1):
        tail = sequence(comma, written(shape.item(index)), tail)
        if index >= shape.minimum:
            tail = optional(rules.add(f"{wanted}-from-{index}", tail))
    items = sequence(written(shape.item(0)), tail, gap)
    if shape.minimum == 0:
        items = optional(items)
    return sequence(literal("["), gap, items, literal("]"))

"""Writes arrays: leading items with a schema each, then a counted number of further items.

With ``contains``, the rules count the items that match. With ``uniqueItems``, they write each
value of a short list at most once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

from ...gbnf.build import NOTHING, alternation, literal, optional, sequence
from ...gbnf.syntax import EMPTY, Node, RuleRef
from ..problems import Problems
from ..rules import RuleBook
from ..sets.handles import both, negated
from ..shapes import FALSE, Array, Handle, Number, Shapes, Values, distinct

__all__ = ["ArrayWriter"]

MAX_ANY_ORDER = 7
"""Distinct values that an array may hold in any order, which takes a rule for each subset.
If there are more values, the array holds them in the order of the schema."""

MAX_IN_ORDER = 300
"""Distinct values that an array may hold in the order of the schema."""

_MAX_STATES = 2_000
"""Combinations of a number of items and the numbers of items that each ``contains`` counts."""


class ArrayWriter:
    """Writes arrays. ``written`` returns the rule of a handle, ``value`` the text of a value."""

    def __init__(
        self,
        rules: RuleBook,
        written: Callable[[Handle], Node],
        shapes: Callable[[Handle], Shapes],
        value: Callable[[Any], Node],
        problems: Problems,
    ) -> None:
        self._rules = rules
        self._written = written
        self._shapes = shapes
        self._value = value
        self._problems = problems

    def node(self, shape: Array, wanted: str) -> Node:
        """All arrays of the shape; `NOTHING` if there are none."""
        shape = self._bounded(shape)
        if shape.maximum is not None and shape.maximum < shape.minimum:
            return NOTHING
        if shape.unique and (shape.maximum is None or shape.maximum > 1):
            values = self._listed(shape)
            if values is not None:
                return self._of_values(values, shape, wanted)
            self._problems.add("uniqueItems", shape.pointer, "a grammar cannot compare items")
        if shape.contains:
            return self._containing(shape, wanted)
        return self._plain(shape, wanted)

    def _bounded(self, shape: Array) -> Array:
        """The same arrays, with a maximum if further items are forbidden.

        A ``contains`` that always holds is dropped.
        """
        maximum = shape.maximum
        if FALSE in shape.items and (maximum is None or maximum > len(shape.prefix)):
            maximum = len(shape.prefix)
        contains = tuple(c for c in shape.contains if c.minimum or c.maximum is not None)
        return replace(shape, maximum=maximum, contains=contains)

    def _plain(self, shape: Array, wanted: str) -> Node:
        if replace(shape, unique=False) == Array():
            return self._rules.shared("array")
        comma, gap = self._rules.layout.comma, self._rules.layout.gap
        maximum, written = shape.maximum, self._written
        if maximum == 0:
            return sequence(literal("["), gap, literal("]"))
        own = len(shape.prefix) if maximum is None else min(len(shape.prefix), maximum)
        # Backwards: each item needs the rule of what follows. The first has no comma before it.
        done = max(own, 1)
        tail: Node = EMPTY
        if maximum is None or maximum > done:
            others = sequence(comma, written(shape.items))
            most = None if maximum is None else maximum - done
            fewest = max(0, shape.minimum - done)
            tail = self._rules.counted(f"{wanted}-items", others, fewest, most)
        for index in range(done - 1, 0, -1):
            tail = sequence(comma, written(shape.item(index)), tail)
            if index >= shape.minimum:
                tail = optional(self._rules.add(f"{wanted}-from-{index}", tail))
        items = sequence(written(shape.item(0)), tail, gap)
        if shape.minimum == 0:
            items = optional(items)
        return sequence(literal("["), gap, items, literal("]"))

    def _containing(self, shape: Array, wanted: str) -> Node:
        """A rule for each number of items so far and each number of items counted so far."""
        # At least 1, because the first item has no comma before it.
        last = max(len(shape.prefix), shape.minimum, shape.maximum or 0, 1)
        limits = [c.minimum if c.maximum is None else c.maximum for c in shape.contains]
        n_states = last + 1
        for limit in limits:
            n_states *= limit + 1
        if n_states > _MAX_STATES or len(limits) > 3:
            self._problems.add("contains", shape.pointer, "there are too many items to count")
            return self._plain(replace(shape, contains=()), wanted)
        start = (0, tuple(0 for _ in limits))
        names = {start: self._rules.reserve(wanted + "-items")}
        pending = [start]
        while pending:
            state = pending.pop()
            index, counts = state
            options: list[Node] = []
            for handle, after in self._choices(shape, index, counts, limits):
                following = (min(index + 1, last) if shape.maximum is None else index + 1, after)
                if following not in names:
                    names[following] = self._rules.reserve(wanted + "-items")
                    pending.append(following)
                separator = self._rules.layout.comma if index else EMPTY
                options.append(
                    sequence(separator, self._written(handle), RuleRef(names[following]))
                )
            enough = all(c >= own.minimum for c, own in zip(counts, shape.contains, strict=True))
            if index >= shape.minimum and enough:
                options.append(EMPTY)
            self._rules.rules[names[state]] = alternation(*options) if options else NOTHING
        gap = self._rules.layout.gap
        return sequence(literal("["), gap, RuleRef(names[start]), gap, literal("]"))

    def _choices(
        self, shape: Array, index: int, counts: tuple[int, ...], limits: list[int]
    ) -> Iterator[tuple[Handle, tuple[int, ...]]]:
        """Each handle that the next item may satisfy, with the counts after that item."""
        if shape.maximum is not None and index >= shape.maximum:
            return
        for counted in product((False, True), repeat=len(counts)):
            handle = shape.item(index)
            after = []
            possible = True
            for is_one, count, limit, contains in zip(
                counted, counts, limits, shape.contains, strict=True
            ):
                if is_one:
                    # Once the limit is reached, no more items are counted.
                    possible &= count < limit
                    handle = both(handle, contains.handle)
                elif contains.maximum is not None:
                    handle = both(handle, negated(contains.handle))
                after.append(count + is_one)
            if possible and FALSE not in handle:
                yield handle, tuple(after)

    def _listed(self, shape: Array) -> list[Any] | None:
        """The possible values of an item, if they are few and the same for all items."""
        if shape.prefix or shape.contains:
            return None
        found: list[Any] = []
        for own in self._shapes(shape.items):
            if isinstance(own, Values):
                found += own.values
            elif isinstance(own, Number) and own.integer and None not in (own.lower, own.upper):
                low, high = int(own.lower or 0) - 1, int(own.upper or 0) + 1
                if high - low > MAX_IN_ORDER:
                    return None
                found += [n for n in range(low, high + 1) if own.admits(Fraction(n))]
            else:
                return None
        (values,) = distinct([Values(tuple(found))])
        assert isinstance(values, Values)  # noqa: S101 — `distinct` keeps the type
        return list(values.values) if len(values.values) <= MAX_IN_ORDER else None

    def _of_values(self, values: list[Any], shape: Array, wanted: str) -> Node:
        if shape.minimum > len(values):
            return NOTHING
        nodes = [self._value(value) for value in values]
        maximum = len(nodes) if shape.maximum is None else min(shape.maximum, len(nodes))
        write = self._in_any_order if len(nodes) <= MAX_ANY_ORDER else self._in_order
        gap = self._rules.layout.gap
        items = write(nodes, shape.minimum, maximum, f"{wanted}-items")
        return sequence(literal("["), gap, items, gap, literal("]"))

    def _in_any_order(self, nodes: list[Node], minimum: int, maximum: int, wanted: str) -> Node:
        """A rule for each set of values that have been written."""
        names: dict[int, str] = {0: self._rules.reserve(wanted)}
        pending = [0]
        while pending:
            done = pending.pop()
            count = done.bit_count()
            options: list[Node] = []
            for place, node in enumerate(nodes):
                following = done | 1 << place
                if following == done or count >= maximum:
                    continue
                if following not in names:
                    names[following] = self._rules.reserve(wanted)
                    pending.append(following)
                separator = self._rules.layout.comma if done else EMPTY
                options.append(sequence(separator, node, RuleRef(names[following])))
            if count >= minimum:
                options.append(EMPTY)
            self._rules.rules[names[done]] = alternation(*options)
        return RuleRef(names[0])

    def _in_order(self, nodes: list[Node], minimum: int, maximum: int, wanted: str) -> Node:
        """A rule for each value and each number of values before it, from the last value back."""
        top = maximum if maximum < len(nodes) else max(minimum, 1)
        tails: list[Node] = [EMPTY if count >= minimum else NOTHING for count in range(top + 1)]
        for node in reversed(nodes):
            following = tails
            tails = []
            for count in range(top + 1):
                options = [following[count]]
                if count < maximum:
                    separator = self._rules.layout.comma if count else EMPTY
                    after = following[min(count + 1, top)]
                    options.insert(0, sequence(separator, node, after))
                tails.append(self._rules.add(wanted, alternation(*options)))
        return tails[0]

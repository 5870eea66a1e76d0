"""Which keys of an object are written beyond those that a schema lists, and how.

Leaving keys out never makes an object invalid, adding one may. So a key is
written only if it is certain which schemas its value must satisfy.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..gbnf.build import literal, sequence
from ..gbnf.syntax import Literal, Node, Sequence
from .handles import both, pattern_matches, property_handle
from .keys import other_key
from .membership import Membership
from .patterns import parse_pattern
from .problems import Problems
from .reading import SchemaReader
from .rules import RuleBook
from .shapes import FALSE, Handle, Object, String, Values
from .strings import encoded, string_node

__all__ = ["ExtraKeys"]


class ExtraKeys:
    """Keys of the objects of one document."""

    def __init__(self, reader: SchemaReader, rules: RuleBook, problems: Problems) -> None:
        self._reader = reader
        self._membership = Membership(reader.shapes)
        self._rules = rules
        self._problems = problems

    def listed(self, shape: Object) -> dict[str, Handle] | None:
        """The keys with a name, in their order, and the handles of their values.

        None if a required key may not be there.
        """
        names = [*shape.properties, *sorted(shape.required - shape.properties.keys())]
        if shape.has_others and not shape.patterns:
            for names_shape in self._reader.shapes(shape.names) if shape.names else ():
                if isinstance(names_shape, Values):
                    listed = [v for v in names_shape.values if isinstance(v, str)]
                    names += [name for name in listed if name not in names]
        found = {name: property_handle(shape, name) for name in names if self._allows(shape, name)}
        return found if shape.required <= found.keys() else None

    def _allows(self, shape: Object, name: str) -> bool:
        names = self._reader.shapes(shape.names)
        return any(self._membership.of(names_shape, name) for names_shape in names)

    def others(
        self, shape: Object, listed: dict[str, Handle], wanted: str
    ) -> Iterator[tuple[Node, Handle]]:
        """Keys without a name, and the handles of their values."""
        taken = [*shape.properties, *(name for name in listed if name not in shape.properties)]
        if shape.patterns:
            yield from self._matching(shape, taken, wanted)
        elif shape.has_others and FALSE not in shape.additional:
            if not shape.names:
                key = other_key(taken, self._rules, wanted) if taken else self._any_key()
                yield key, shape.additional
            else:
                yield from self._named(shape, taken)

    def _any_key(self) -> Node:
        return self._rules.shared("string")

    def _named(self, shape: Object, taken: list[str]) -> Iterator[tuple[Node, Handle]]:
        """Keys that ``propertyNames`` describes; its values are among the listed ones."""
        for names_shape in self._reader.shapes(shape.names):
            if not isinstance(names_shape, String):
                continue
            if any(self._membership.of(names_shape, name) for name in taken):
                self._problems.add(
                    "propertyNames", shape.pointer, "it admits a key that 'properties' lists"
                )
            yield string_node(names_shape, self._rules, self._problems), shape.additional

    def _matching(
        self, shape: Object, taken: list[str], wanted: str
    ) -> Iterator[tuple[Node, Handle]]:
        """Keys that ``patternProperties`` describes."""
        if shape.names:
            self._problems.add(
                "propertyNames", shape.pointer, "'patternProperties' describes keys already"
            )
        for pattern, own in shape.patterns:
            if any(pattern_matches(pattern, name) for name in taken):
                continue
            handle = own
            for other, handle_of_other in shape.patterns:
                if other != pattern and not _never_both(pattern, other):
                    handle = both(handle, handle_of_other)
            content = encoded(parse_pattern(pattern), self._rules, wanted)
            yield sequence(literal('"'), content, literal('"')), handle


def _never_both(left: str, right: str) -> bool:
    """Whether two patterns ask for different beginnings."""
    first, second = (_beginning(parse_pattern(pattern)) for pattern in (left, right))
    length = min(len(first), len(second))
    return first[:length] != second[:length]


def _beginning(tree: Node) -> str:
    """Characters that every text of a tree begins with."""
    first = tree.items[0] if isinstance(tree, Sequence) and tree.items else tree
    return first.text if isinstance(first, Literal) else ""

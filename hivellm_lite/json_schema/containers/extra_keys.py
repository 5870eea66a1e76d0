"""Decides which unlisted keys of an object are written, and writes them.

Leaving an unlisted key out never makes an object invalid, but adding one may. So a key is written
only if it is certain which schemas its value must satisfy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...gbnf.build import literal, sequence
from ...gbnf.syntax import Node
from ..problems import Problems
from ..rules import RuleBook
from ..sets.handles import additional_handle, both, property_handle
from ..sets.membership import Membership
from ..shapes import FALSE, Handle, Object, Shapes, String, Values
from ..strings.automata import TextAutomaton, TooLargeError, products, texts_of
from ..strings.languages import UnwritableError, automaton_of, pattern_matches, string_parts
from ..strings.nodes import encoded, language_node
from ..strings.patterns import UnsupportedPattern, parse_pattern
from .other_keys import other_key

__all__ = ["ExtraKeys"]


class ExtraKeys:
    """Writes the keys of the objects of one document. ``shapes`` reads a handle."""

    def __init__(
        self, shapes: Callable[[Handle], Shapes], rules: RuleBook, problems: Problems
    ) -> None:
        self._shapes = shapes
        self._membership = Membership(shapes)
        self._rules = rules
        self._problems = problems

    def listed(self, shape: Object) -> dict[str, Handle] | None:
        """The keys that are known by name, in order, and the handles of their values.

        None if a required key is forbidden.
        """
        names = [*shape.properties, *sorted(shape.required - shape.properties.keys())]
        if shape.has_others or shape.patterns:
            for names_shape in self._shapes(shape.names) if shape.names else ():
                if isinstance(names_shape, Values):
                    listed = [v for v in names_shape.values if isinstance(v, str)]
                    names += [n for n in listed if n not in names and self._writes(shape, n)]
        found = {name: property_handle(shape, name) for name in names if self._allows(shape, name)}
        return found if shape.required <= found.keys() else None

    def _writes(self, shape: Object, name: str) -> bool:
        """Whether an unlisted key of this name is written at all."""
        return shape.has_others or any(pattern_matches(p, name) for p in shape.patterns)

    def _allows(self, shape: Object, name: str) -> bool:
        names = self._shapes(shape.names)
        return any(self._membership.of(names_shape, name) for names_shape in names)

    def others(
        self, shape: Object, listed: dict[str, Handle], wanted: str
    ) -> Iterator[tuple[Node, Handle]]:
        """Rules for all further keys, and the handles of their values."""
        taken = [*shape.properties, *(name for name in listed if name not in shape.properties)]
        if shape.patterns or shape.names:
            yield from self._described(shape, taken, wanted)
        elif shape.has_others and FALSE not in additional_handle(shape):
            key = other_key(taken, self._rules, wanted) if taken else self._rules.shared("string")
            yield key, additional_handle(shape)

    def _described(
        self, shape: Object, taken: list[str], wanted: str
    ) -> Iterator[tuple[Node, Handle]]:
        """Keys that patterns or ``propertyNames`` describe, grouped by their values' handle."""
        for names in self._shapes(shape.names):
            if not isinstance(names, String):
                continue
            simple = self._single_pattern(shape, names, taken)
            if simple is not None:
                pattern, handle = simple
                content = encoded(parse_pattern(pattern), self._rules, wanted)
                yield sequence(literal('"'), content, literal('"')), handle
                continue
            keyword = "patternProperties" if shape.patterns else "propertyNames"
            try:
                for handle, keys in _keys_by_handle(shape, names, taken).items():
                    content = language_node(keys, self._rules, f"{wanted}-key")
                    yield sequence(literal('"'), content, literal('"')), handle
            except UnwritableError as error:
                self._problems.add(keyword, shape.pointer, str(error))
            except (TooLargeError, UnsupportedPattern) as error:
                self._problems.add(
                    keyword, shape.pointer, f"the patterns of the keys, taken together: {error}"
                )

    def _single_pattern(
        self, shape: Object, names: String, taken: list[str]
    ) -> tuple[str, Handle] | None:
        """The pattern of all keys and their handle, if nothing else restricts the keys."""
        alone = len(shape.rests) == 1 and len(shape.rests[0].patterns) == 1
        if names != String() or taken or not alone:
            return None
        if shape.has_others and FALSE not in additional_handle(shape):
            return None
        pattern, handle = shape.rests[0].patterns[0]
        try:
            parse_pattern(pattern)
        except UnsupportedPattern:
            return None
        return pattern, handle


def _keys_by_handle(shape: Object, names: String, taken: list[str]) -> dict[Handle, TextAutomaton]:
    """The keys that are not ``taken``, by the handle of their values.

    Keys that a pattern matches in one dialect and not in the other are left out.

    Raises `TooLargeError`, `UnsupportedPattern` and `UnwritableError`.
    """
    parts, is_name = string_parts(names)
    n_names = len(parts)
    parts.append(texts_of(taken))
    for pattern in shape.patterns:
        parts += [automaton_of(pattern), automaton_of(pattern, wide=True)]

    def handle(found: tuple[bool, ...]) -> Handle | None:
        if found[n_names] or not is_name(found):
            return None
        matching = set()
        for number, pattern in enumerate(shape.patterns):
            surely, maybe = found[n_names + 1 + 2 * number : n_names + 3 + 2 * number]
            if surely != maybe:
                return None
            if surely:
                matching.add(pattern)
        if not matching and not shape.has_others:
            return None
        together: Handle = ()
        for rest in shape.rests:
            own = [handle for pattern, handle in rest.patterns if pattern in matching]
            for one in own or [rest.additional]:
                together = both(together, one)
        return None if FALSE in together else together

    return products(parts, handle)

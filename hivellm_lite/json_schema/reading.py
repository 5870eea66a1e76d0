"""Reads schemas into shapes: what holds for values of each type, then what combines schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

from ..errors import GrammarError
from ..json_positions import shown
from .disjointness import Disjointness
from .document import Document
from .intersection import meet
from .keywords import TYPES
from .membership import Membership
from .problems import Problems, malformed
from .shapes import ANYTHING, FALSE, Handle, Object, Shape, Shapes, Values, distinct
from .types import TypeReader, list_of

__all__ = ["MAX_SHAPES", "SchemaReader"]

MAX_SHAPES = 500
"""Shapes of one schema. Every ``anyOf`` multiplies those of the ``anyOf`` beside it."""

_MAX_NESTED = 60
"""``allOf``, ``anyOf``, ``oneOf`` and ``$ref`` around one another, for one value."""

_NEVER_ENFORCED = {
    "$recursiveRef": "only '$ref' and '$dynamicRef' are followed",
    "unevaluatedItems": "which items count as evaluated depends on the value",
}


class SchemaReader:
    """The shapes of every schema of a document; each is read once.

    Keywords that no shape can hold go to ``problems`` and are left out.
    """

    def __init__(self, document: Document, problems: Problems) -> None:
        self._document = document
        self._problems = problems
        self._types = TypeReader(document, problems)
        self._read: dict[str, Shapes] = {FALSE: ()}
        self._reading: list[str] = []
        self._shapes: dict[Handle, Shapes] = {(): ANYTHING}
        self._exclusive: list[tuple[str, list[Shapes]]] = []
        self._membership = Membership(self.shapes)
        self._disjointness = Disjointness(self.shapes, self._membership)

    def shapes(self, handle: Handle) -> Shapes:
        """What the schemas of a handle admit together."""
        if handle not in self._shapes:
            shapes = ANYTHING
            for pointer in handle:
                shapes = self._meet(shapes, self._schema(pointer), pointer)
            self._shapes[handle] = shapes
        return self._shapes[handle]

    def _schema(self, pointer: str) -> Shapes:
        if pointer not in self._read:
            if pointer in self._reading:
                raise GrammarError(
                    f"JSON schema: the schema at {pointer} is part of itself\n"
                    "A schema may refer to itself only for a property or an item."
                )
            if len(self._reading) >= _MAX_NESTED:
                raise GrammarError(
                    f"JSON schema: over {_MAX_NESTED} schemas within one another at {pointer}, "
                    "all for the same value\nUse fewer references and combinations."
                )
            self._reading.append(pointer)
            self._read[pointer] = self._combined(pointer)
            self._reading.pop()
        return self._read[pointer]

    def _combined(self, pointer: str) -> Shapes:
        schema = self._document.at(pointer)
        if isinstance(schema, bool):
            return ANYTHING if schema else ()
        shapes = self._typed(pointer, schema)
        if "const" in schema:
            shapes = self._meet(shapes, (Values((schema["const"],)),), pointer)
        if "enum" in schema:
            values = distinct([Values(tuple(list_of(pointer, schema, "enum")))])
            shapes = self._meet(shapes, values, pointer)
        for keyword in ("$ref", "$dynamicRef"):
            if keyword in schema:
                target = self._document.target(pointer, schema[keyword])
                shapes = self._meet(shapes, self._schema(target), pointer)
        for branch in self._branches(pointer, schema, "allOf"):
            shapes = self._meet(shapes, self._schema(branch), pointer)
        if "anyOf" in schema:
            union: list[Shape] = []
            for branch in self._branches(pointer, schema, "anyOf"):
                union += self._schema(branch)
            shapes = self._meet(shapes, distinct(union), pointer)
        if "oneOf" in schema:
            shapes = self._one_of(shapes, pointer, schema)
        for shapes_of in (self._dependent, self._negated, self._conditional, self._unevaluated):
            shapes = shapes_of(shapes, pointer, schema)
        for keyword, reason in _NEVER_ENFORCED.items():
            if keyword in schema:
                self._problems.add(keyword, pointer, reason)
        return shapes

    def _negated(self, shapes: Shapes, pointer: str, schema: Mapping[str, Any]) -> Shapes:
        """Only ``not`` of what everything satisfies: such a schema is one way to say ``false``."""
        if "not" in schema:
            if not self._document.handle(pointer, "not"):
                return ()
            self._problems.add("not", pointer, "a grammar cannot say what a value is not")
        return shapes

    def _branches(self, pointer: str, schema: Mapping[str, Any], keyword: str) -> Iterator[str]:
        if keyword in schema:
            for index in range(len(list_of(pointer, schema, keyword, empty=False))):
                yield self._document.child(pointer, keyword, index)

    def _typed(self, pointer: str, schema: Mapping[str, Any]) -> Shapes:
        named = schema.get("type", list(TYPES))
        names = [named] if isinstance(named, str) else named
        if not isinstance(names, list) or not names or any(name not in TYPES for name in names):
            raise malformed(pointer, "type", named, f"one or more of {', '.join(TYPES)}")
        if schema.get("nullable") is True and "type" in schema:
            names = [*names, "null"]
        values: list[Any] = [None] if "null" in names else []
        values += [False, True] if "boolean" in names else []
        shapes: list[Shape] = [Values(tuple(values))] if values else []
        readers: dict[str, Callable[[str, Mapping[str, Any]], Shape]] = {
            "string": self._types.string,
            "array": self._types.array,
            "object": self._types.object,
        }
        if "number" in names or "integer" in names:
            integer = "number" not in names
            shapes.append(self._types.number(pointer, schema, integer=integer))
        shapes += [read(pointer, schema) for name, read in readers.items() if name in names]
        # A shape met with itself is gone if its own bounds exclude one another.
        met = (meet(shape, shape, self._membership) for shape in shapes)
        return tuple(shape for shape in met if shape is not None)

    def _one_of(self, shapes: Shapes, pointer: str, schema: Mapping[str, Any]) -> Shapes:
        branches = [
            self._meet(shapes, self._schema(branch), pointer)
            for branch in self._branches(pointer, schema, "oneOf")
        ]
        self._exclusive.append((pointer, branches))
        return self._union(branches, pointer)

    def check_one_of(self) -> None:
        """Note every ``oneOf`` so far whose schemas cannot be told apart.

        Not done while they are read: to compare two properties may take a
        schema that is just being read.
        """
        checked = 0
        while checked < len(self._exclusive):
            pointer, branches = self._exclusive[checked]
            checked += 1
            pair = self._overlap(branches)
            if pair is not None:
                reason = "a value may satisfy both {} and {} of it; 'anyOf' needs no such proof"
                self._problems.add("oneOf", pointer, reason.format(*pair))

    def _overlap(self, branches: list[Shapes]) -> tuple[int, int] | None:
        for first, second in combinations(range(len(branches)), 2):
            left, right = branches[first], branches[second]
            if not (self._disjointness.of(left, right) and self._disjointness.of(right, left)):
                return first, second
        return None

    def _dependent(self, shapes: Shapes, pointer: str, schema: Mapping[str, Any]) -> Shapes:
        """Each dependency makes two shapes: without the key, and with all that it asks for."""
        for key, names, schema_of_key in self._types.dependencies(pointer, schema):
            with_key = Object(required=frozenset({key, *names}), pointer=pointer)
            present = self._meet(shapes, (with_key,), pointer)
            if schema_of_key is not None:
                present = self._meet(present, self._schema(schema_of_key), pointer)
            without_key = Object(properties={key: (FALSE,)}, pointer=pointer)
            absent = self._meet(shapes, (*ANYTHING[:-1], without_key), pointer)
            shapes = self._union([absent, present], pointer)
        return shapes

    def _conditional(self, shapes: Shapes, pointer: str, schema: Mapping[str, Any]) -> Shapes:
        if "if" in schema and ("then" in schema or "else" in schema):
            self._problems.add("if", pointer, "write it as 'anyOf' of the two cases")
        return shapes

    def _unevaluated(self, shapes: Shapes, pointer: str, schema: Mapping[str, Any]) -> Shapes:
        """``unevaluatedProperties: false``: keys that nothing describes are not written."""
        if "unevaluatedProperties" not in schema or schema["unevaluatedProperties"] is True:
            return shapes
        if schema["unevaluatedProperties"] is not False:
            self._problems.add("unevaluatedProperties", pointer, "only false and true are")
            return shapes
        closed: list[Shape] = []
        for shape in shapes:
            if isinstance(shape, Values) and any(isinstance(v, dict) for v in shape.values):
                self._problems.add("unevaluatedProperties", pointer, "not beside 'enum'")
            closed.append(replace(shape, open=False) if isinstance(shape, Object) else shape)
        return tuple(closed)

    def _meet(self, left: Shapes, right: Shapes, pointer: str) -> Shapes:
        if left == ANYTHING or right == ANYTHING:
            return right if left == ANYTHING else left
        met = [meet(a, b, self._membership) for a in left for b in right]
        return self._union([tuple(shape for shape in met if shape is not None)], pointer)

    def _union(self, unions: list[Shapes], pointer: str) -> Shapes:
        shapes = distinct(shape for union in unions for shape in union)
        if len(shapes) > MAX_SHAPES:
            raise GrammarError(
                f"JSON schema: {shown(len(shapes))} combinations of alternatives at {pointer}, "
                f"the most are {MAX_SHAPES}\nUse fewer 'anyOf' side by side."
            )
        return shapes

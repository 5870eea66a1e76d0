"""Reads schemas into shapes, and combines the schemas that describe one value.

``types.py`` reads the keywords that belong to one type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from ...errors import GrammarError
from ...strict_json.parsing import shown
from ..problems import Problems
from ..sets.difference import Difference, Tools, Work, difference
from ..sets.disjointness import Disjointness
from ..sets.handles import denied
from ..sets.intersection import meet
from ..sets.membership import Membership
from ..shapes import ANYTHING, FALSE, Handle, Object, Shape, Shapes, Values, distinct
from .discriminators import tagged_objects
from .document import SchemaDocument
from .keywords import APPLICATORS
from .overlaps import OneOfs, Overlaps
from .types import TypeReader, list_of
from .unevaluated import without_unevaluated_keys

__all__ = ["MAX_SHAPES", "SchemaReader"]

MAX_SHAPES = 500
"""Shapes of one schema. Two ``anyOf`` side by side multiply their numbers of shapes."""

_MAX_CASES = 120
"""Shapes that the conditions of one schema may produce."""

_MAX_NESTED = 60
"""Levels of ``allOf``, ``anyOf``, ``oneOf`` and ``$ref`` that describe one value."""

_NEVER_ENFORCED = {
    "$recursiveRef": "only '$ref' and '$dynamicRef' are supported",
    "unevaluatedItems": "the value decides which items count as evaluated",
}


class TooManyCasesError(GrammarError):
    """A schema that is a union of too many shapes."""


class SchemaReader:
    """The shapes of every schema of a document. Each schema is read once.

    Keywords that no shape can hold are reported to ``problems`` and left out. ``overlaps`` says
    which alternatives of a ``oneOf`` must be made exclusive by taking one from the other.

    Readers come in pairs. The *narrow* reader describes values to write: each of its values
    satisfies the schema in every dialect. The *wide* reader describes values to avoid: it has
    each value that satisfies the schema in some dialect, so ``not`` takes all of these away.
    """

    def __init__(
        self,
        document: SchemaDocument,
        problems: Problems,
        overlaps: Overlaps,
        narrow: SchemaReader | None = None,
    ) -> None:
        self._document = document
        self._problems = problems
        self._is_wide = narrow is not None
        self._types = TypeReader(document, problems, wide=self._is_wide)
        self._read: dict[str, Shapes] = {FALSE: ()}
        self._reading: list[str] = []
        self._shapes: dict[Handle, Shapes] = {(): ANYTHING}
        self._one_ofs: OneOfs = narrow._one_ofs if narrow else OneOfs(overlaps)
        self._membership = Membership(self.shapes, wide=self._is_wide)
        self._work: Work = narrow._work if narrow else Work()
        self._opposite = narrow or SchemaReader(document, problems, overlaps, self)
        self._tools = Tools(self._meet_two, self._opposite._membership, self._only, self._work)

    def shapes(self, handle: Handle) -> Shapes:
        """The values that satisfy all schemas of a handle."""
        if handle not in self._shapes:
            shapes = ANYTHING
            for pointer in handle:
                if denied(pointer) is None:
                    shapes = self._meet(shapes, self._schema(pointer), pointer)
            for name in handle:
                inner = denied(name)
                if inner is not None:
                    shapes = self._without(shapes, self._opposite.shapes(inner)).shapes
            self._shapes[handle] = shapes
        return self._shapes[handle]

    def _without(self, shapes: Shapes, left_out: Shapes) -> Difference:
        """The first shapes without the others.

        If the result cannot be exact, a narrow reader loses some of the remaining values, and a
        wide reader keeps all of the first shapes.
        """
        found = difference(shapes, left_out, self._tools)
        if len(found.shapes) > MAX_SHAPES:
            found = Difference((), exact=False)
        return found if found.exact or not self._is_wide else Difference(shapes, exact=False)

    def _only(self, value: Any) -> Handle:
        """The handle of a single value."""
        return (self._document.virtual({"const": value}),)

    def _is_empty(self, handle: Handle) -> bool:
        """Whether the handle plainly has no value.

        This does not read schemas that lead to others: their reading may have begun already.
        """
        return all(map(self._is_plain, handle)) and not self.shapes(handle)

    def _is_plain(self, name: str) -> bool:
        inner = denied(name)
        if inner is not None:
            return all(map(self._is_plain, inner))
        if name == FALSE:
            return True
        schema = self._document.at(name)
        return isinstance(schema, bool) or not (schema.keys() & APPLICATORS)

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
                    "all for the same value\nUse fewer references, 'allOf', 'anyOf' and 'oneOf'."
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
            shapes = self._with_branch(shapes, branch, pointer)
        if "anyOf" in schema:
            union: list[Shape] = []
            for option in self._tagged([*self._branches(pointer, schema, "anyOf")], schema):
                union += option
            shapes = self._meet(shapes, distinct(union), pointer)
        if "oneOf" in schema:
            shapes = self._one_of(shapes, pointer, schema)
        for shapes_of in (self._dependent, self._negated, self._conditional):
            shapes = shapes_of(shapes, pointer, schema)
        shapes = without_unevaluated_keys(shapes, pointer, schema, self._problems)
        for keyword, reason in _NEVER_ENFORCED.items():
            if keyword in schema:
                self._problems.add(keyword, pointer, reason)
        return shapes

    def _with_branch(self, shapes: Shapes, branch: str, pointer: str) -> Shapes:
        """Meet one more schema of ``allOf``, unless it is a condition that makes too many cases."""
        try:
            return self._meet(shapes, self._schema(branch), pointer)
        except TooManyCasesError:
            condition = self._document.at(branch)
            if isinstance(condition, bool) or "if" not in condition:
                raise
            self._problems.add(
                "if", branch, "together with the other conditions, there are too many cases"
            )
            return shapes

    def _negated(self, shapes: Shapes, pointer: str, schema: Mapping[str, Any]) -> Shapes:
        if "not" not in schema:
            return shapes
        return self._taken_away(shapes, self._document.child(pointer, "not"), "not", pointer)

    def _taken_away(self, shapes: Shapes, left_out: str, keyword: str, pointer: str) -> Shapes:
        """The shapes without the values of a schema, or unchanged if that cannot be written."""
        n_problems = len(self._problems.found)
        found = self._without(shapes, self._opposite._schema(left_out))
        if len(self._problems.found) > n_problems:
            return shapes
        if not found.exact:
            self._problems.add(keyword, pointer, "only some of the remaining values can be written")
            return found.shapes or shapes
        return found.shapes

    def _conditional(self, shapes: Shapes, pointer: str, schema: Mapping[str, Any]) -> Shapes:
        """Values that satisfy ``if`` and ``then``, or fail ``if`` and satisfy ``else``."""
        if "if" not in schema or not ({"then", "else"} & schema.keys()):
            return shapes
        condition = self._document.child(pointer, "if")
        cases: list[Shapes] = []
        holds = self._meet(shapes, _opened(self._schema(condition)), pointer)
        fails = self._taken_away(shapes, condition, "if", pointer)
        for keyword, case in (("then", holds), ("else", fails)):
            if keyword in schema and case:
                branch = self._schema(self._document.child(pointer, keyword))
                case = self._meet(case, _opened(branch), pointer)
            cases.append(case)
        if sum(map(len, cases)) > max(len(shapes), _MAX_CASES):
            self._problems.add(
                "if", pointer, "together with the other conditions, there are too many cases"
            )
            return shapes
        return self._union(cases, pointer)

    def _branches(self, pointer: str, schema: Mapping[str, Any], keyword: str) -> Iterator[str]:
        if keyword in schema:
            for index in range(len(list_of(pointer, schema, keyword, empty=False))):
                yield self._document.child(pointer, keyword, index)

    def _typed(self, pointer: str, schema: Mapping[str, Any]) -> Shapes:
        # A shape whose own bounds contradict each other vanishes when it meets itself.
        shapes = self._types.shapes(pointer, schema)
        met = (self._meet_two(shape, shape) for shape in shapes)
        return tuple(shape for shape in met if shape is not None)

    def _one_of(self, shapes: Shapes, pointer: str, schema: Mapping[str, Any]) -> Shapes:
        pointers = list(self._branches(pointer, schema, "oneOf"))
        branches = self._tagged(pointers, schema)
        branches = [self._meet(shapes, branch, pointer) for branch in branches]
        others = [self._opposite._schema(branch) for branch in pointers]
        written, valid = (others, branches) if self._is_wide else (branches, others)
        alternatives = zip(written, valid, strict=True)
        self._one_ofs.add(pointer, alternatives, replace=not self._is_wide)
        n_problems = len(self._problems.found)
        for pair in self._one_ofs.known(pointer):
            for left, right in (pair, pair[::-1]):
                found = self._without(branches[left], others[right])
                if found.exact and len(self._problems.found) == n_problems:
                    branches[left] = found.shapes
                elif not self._is_wide:
                    reason = (
                        "one value may satisfy both alternative {} and alternative {}; use "
                        "'anyOf' if that is allowed"
                    )
                    self._problems.add("oneOf", pointer, reason.format(*pair))
        return self._union(branches, pointer)

    def _tagged(self, pointers: list[str], schema: Mapping[str, Any]) -> list[Shapes]:
        """The alternatives, each with its tag if the schema has a ``discriminator``."""
        branches = [self._schema(pointer) for pointer in pointers]
        objects = None if self._is_wide else tagged_objects(self._document, pointers, schema)
        if objects is None:
            return branches
        return [
            self._meet(branch, (*ANYTHING[:-1], tagged), pointer)
            for pointer, branch, tagged in zip(pointers, branches, objects, strict=True)
        ]

    def overlaps(self) -> Overlaps:
        """The overlaps that are known, and those of each ``oneOf`` that this reader has read.

        Ask when everything has been read: to compare two properties, a proof may need a schema
        whose reading is not finished.
        """
        other = self._opposite
        return self._one_ofs.overlaps(
            Disjointness(self.shapes, other.shapes, self._membership, other._membership)
        )

    def _dependent(self, shapes: Shapes, pointer: str, schema: Mapping[str, Any]) -> Shapes:
        """Each dependency makes two cases: without the key, and with all that the key requires."""
        for key, names, schema_of_key in self._types.dependencies(pointer, schema):
            with_key = Object(required=frozenset({key, *names}), pointer=pointer)
            present = self._meet(shapes, (with_key,), pointer)
            if schema_of_key is not None:
                present = self._meet(present, self._schema(schema_of_key), pointer)
            without_key = Object(properties={key: (FALSE,)}, pointer=pointer)
            absent = self._meet(shapes, (*ANYTHING[:-1], without_key), pointer)
            shapes = self._union([absent, present], pointer)
        return shapes

    def _meet_two(self, left: Shape, right: Shape) -> Shape | None:
        return meet(left, right, self._membership, self._is_empty)

    def _meet(self, left: Shapes, right: Shapes, pointer: str) -> Shapes:
        if left == ANYTHING or right == ANYTHING:
            return right if left == ANYTHING else left
        met = [self._meet_two(a, b) for a in left for b in right]
        return self._union([tuple(shape for shape in met if shape is not None)], pointer)

    def _union(self, unions: list[Shapes], pointer: str) -> Shapes:
        shapes = distinct(shape for union in unions for shape in union)
        if len(shapes) > MAX_SHAPES:
            raise TooManyCasesError(
                f"JSON schema: {shown(len(shapes))} combinations of alternatives at {pointer}, "
                f"of which {MAX_SHAPES} are allowed\nUse fewer 'anyOf' and 'oneOf' side by side."
            )
        return shapes


def _opened(shapes: Shapes) -> Shapes:
    """The same shapes with open objects: a condition does not decide which other keys there are."""
    return tuple(
        replace(shape, open=True) if isinstance(shape, Object) else shape for shape in shapes
    )

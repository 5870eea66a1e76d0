"""Finds the subschemas of a schema by JSON pointer, and resolves references.

References outside of the document are refused; nothing is ever fetched.

Source: JSON Schema 2020-12, Core, sections 8 and 9; RFC 6901 (JSON Pointer).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urljoin

from ...errors import GrammarError
from ...lazy import lazy
from ...strict_json.parsing import shown
from ..problems import malformed
from ..shapes import FALSE, Handle
from .json_values import check_json
from .keywords import ANNOTATIONS, DATA, IN_PLACE
from .pointers import escaped, unescaped

__all__ = ["SchemaDocument"]

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


class SchemaDocument:
    """A JSON schema, checked to be JSON of bounded depth and size.

    Raises `GrammarError` for anything else.
    """

    def __init__(self, schema: Mapping[str, Any] | bool) -> None:
        self._root = schema
        check_json(schema)
        self._schemas: dict[str, Mapping[str, Any] | bool] = {}
        self._parents: dict[str, str] = {}
        self._bases: dict[str, str] = {}
        self._register("#", schema)

    @property
    def root(self) -> Mapping[str, Any] | bool:
        return self._root

    def at(self, pointer: str) -> Mapping[str, Any] | bool:
        """The schema at a pointer that `child`, `handle`, `target` or `virtual` returned."""
        return self._schemas[pointer]

    def child(self, parent: str, *steps: str | int) -> str:
        """The pointer of the subschema that the steps lead to from another schema.

        Raises `GrammarError` if the value there is not a schema.
        """
        value: Any = self._schemas[parent]
        for step in steps:
            value = value[step]
        pointer = "/".join([parent, *(escaped(step) for step in steps)])
        self._register(pointer, value, parent)
        return pointer

    def handle(self, parent: str, *steps: str | int) -> Handle:
        """The handle of a subschema: `FALSE` for ``false``, empty for a schema without constraints.

        A schema that is only a reference is replaced by its target, so all references to a
        definition share one handle.
        """
        pointer = self.child(parent, *steps)
        passed = {pointer}
        while True:
            schema = self._schemas[pointer]
            if schema is False:
                return (FALSE,)
            said = set() if schema is True else schema.keys() - ANNOTATIONS
            if not said:
                return ()
            if said != {"$ref"}:
                return (pointer,)
            assert isinstance(schema, Mapping)  # noqa: S101 — `true` has no constraints
            pointer = self.target(pointer, schema["$ref"])
            if pointer in passed:
                raise GrammarError(
                    f"JSON schema: the reference at {pointer} leads back to itself\n"
                    "Let it refer to a schema that is not a reference."
                )
            passed.add(pointer)

    def target(self, pointer: str, reference: object) -> str:
        """The pointer of the schema that a ``$ref`` in the schema at ``pointer`` refers to.

        Raises `GrammarError` if the reference leads nowhere or outside of the document.
        """
        if not isinstance(reference, str):
            raise malformed(pointer, "$ref", reference, "a string")
        base = self._base(pointer)
        name, _, fragment = (
            base + reference if reference.startswith("#") else urljoin(base, reference)
        ).partition("#")
        resource = self._resources.get(name)
        if resource is None:
            if name != base or reference.partition("#")[0]:
                raise GrammarError(
                    f"JSON schema: '$ref' at {pointer} leads to {shown(reference)}, outside of the "
                    "schema\nCopy the schema that it refers to into '$defs', and refer to the copy."
                )
            resource = []
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            named = self._anchors.get((name, fragment), self._anchors.get(("", fragment)))
            if named is None:
                raise _dangling(pointer, reference)
            return self._walk(pointer, reference, named)
        steps = fragment.split("/")[1:]
        return self._walk(
            pointer,
            reference,
            [*resource, *(unescaped(step) for step in steps)],
        )

    def virtual(self, schema: Mapping[str, Any]) -> str:
        """A pointer for a schema that is not in the document. Equal schemas share the pointer."""
        pointer = f"#/{json.dumps(schema, sort_keys=True)}"
        self._schemas.setdefault(pointer, schema)
        return pointer

    def same_value(self, pointer: str) -> Iterator[Mapping[str, Any]]:
        """The schemas around the schema at a pointer that describe the same value."""
        while pointer in self._parents:
            parent = self._parents[pointer]
            if pointer.removeprefix(f"{parent}/").partition("/")[0] not in IN_PLACE:
                return
            pointer = parent
            schema = self._schemas[pointer]
            if isinstance(schema, Mapping):
                yield schema

    def _walk(self, pointer: str, reference: str, steps: list[str]) -> str:
        value: Any = self._root
        for step in steps:
            if isinstance(value, Mapping) and step in value:
                value = value[step]
            elif isinstance(value, list) and _INDEX.fullmatch(step) and int(step) < len(value):
                value = value[int(step[:9])]
            else:
                raise _dangling(pointer, reference)
        target = "/".join(["#", *map(escaped, steps)])
        self._register(target, value)
        return target

    def _register(self, pointer: str, value: object, parent: str | None = None) -> None:
        if isinstance(value, (Mapping, bool)):
            self._schemas[pointer] = value
        else:
            keyword = pointer.rpartition("/")[2]
            raise malformed(parent or pointer, keyword, value, "a schema: an object or a boolean")
        if parent is not None:
            self._parents[pointer] = parent

    def _base(self, pointer: str) -> str:
        """The name of the innermost document around a schema, or ``""`` if that has no name."""
        if pointer not in self._bases:
            value: Any = self._root
            base = _named(value, "")
            for step in pointer.split("/")[1:]:
                step = unescaped(step)
                if isinstance(value, Mapping) and step in value:
                    value = value[step]
                elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                    value = value[int(step)]
                else:
                    break
                base = _named(value, base)
            self._bases[pointer] = base
        return self._bases[pointer]

    @lazy
    def _resources(self) -> dict[str, list[str]]:
        """For the name of each document in this one, the steps from the root to that document."""
        return {name: steps for name, steps, _ in _names(self._root) if name}

    @lazy
    def _anchors(self) -> dict[tuple[str, str], list[str]]:
        """For (name of a document, anchor), the steps from the root to that anchor's schema."""
        found: dict[tuple[str, str], list[str]] = {}
        for base, steps, value in _names(self._root, every=True):
            for keyword in ("$anchor", "$dynamicAnchor", "$id", "id"):
                name = value.get(keyword)
                if isinstance(name, str) and (keyword[-2:] != "id" or name.startswith("#")):
                    for owner in (base, ""):
                        found.setdefault((owner, name.removeprefix("#")), steps)
        return found


def _named(value: object, base: str) -> str:
    """The name that the references in a schema are relative to."""
    if not isinstance(value, Mapping):
        return base
    for keyword in ("$id", "id"):
        name = value.get(keyword)
        if isinstance(name, str) and not name.startswith("#") and (keyword == "$id" or "/" in name):
            return urljoin(base, name).removesuffix("#")
    return base


def _names(
    root: object, *, every: bool = False
) -> Iterator[tuple[str, list[str], Mapping[str, Any]]]:
    """The documents within a document, each as (name, steps from the root, value).

    With ``every``, all schemas instead, each with the name of the document around it.
    """
    bases: dict[tuple[str, ...], str] = {}
    for steps, value in _mappings(root):
        outer = next(
            (
                bases[key]
                for n in range(len(steps) - 1, -1, -1)
                if (key := tuple(steps[:n])) in bases
            ),
            "",
        )
        own = _named(value, outer)
        bases[tuple(steps)] = own
        if every or own != outer or not steps:
            yield own, steps, value


def _mappings(root: object) -> Iterator[tuple[list[str], Mapping[str, Any]]]:
    """Every object that may be a schema, with the steps from the root to it."""
    pending: list[tuple[list[str], object]] = [([], root)]
    while pending:
        steps, value = pending.pop()
        if isinstance(value, Mapping):
            yield steps, value
            for key, member in value.items():
                if key not in DATA:
                    pending.append(([*steps, key], member))
        elif isinstance(value, list):
            pending.extend(([*steps, str(i)], item) for i, item in enumerate(value))


def _dangling(pointer: str, reference: str) -> GrammarError:
    return GrammarError(
        f"JSON schema: '$ref' at {pointer} leads to {shown(reference)}, where there is nothing\n"
        "Correct the reference, or add the definition."
    )

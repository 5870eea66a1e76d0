"""Handles of several schemas at once, and which handle a key of an object has."""

from __future__ import annotations

import json

from ..shapes import FALSE, Handle, Object, Rest
from ..strings.languages import pattern_matches

__all__ = ["additional_handle", "both", "denied", "negated", "place_of", "property_handle"]


_NOT = "!"
"""Begins the name of what satisfies not all schemas of a handle; pointers begin with ``#``."""


def both(left: Handle, right: Handle) -> Handle:
    """The handle of what two handles admit in common."""
    if FALSE in left or FALSE in right:
        return (FALSE,)
    together = (*left, *(pointer for pointer in right if pointer not in left))
    for name in together:
        if name.startswith(_NOT) and all(inner in together for inner in denied(name) or ()):
            return (FALSE,)
    return together


def negated(handle: Handle) -> Handle:
    """The handle of every value that does not satisfy the whole of a handle."""
    if not handle:
        return (FALSE,)
    if FALSE in handle:
        return ()
    if len(handle) == 1 and handle[0].startswith(_NOT):
        return denied(handle[0]) or ()
    return (_NOT + json.dumps(handle),)


def denied(name: str) -> Handle | None:
    """The handle that a name in a handle denies; None for the pointer of a schema."""
    return tuple(json.loads(name.removeprefix(_NOT))) if name.startswith(_NOT) else None


def place_of(handle: Handle) -> str:
    """A pointer for messages and names: that of the first schema of a handle."""
    name = handle[0]
    while (inner := denied(name)) is not None:
        name = inner[0]
    return name


def property_handle(shape: Object, name: str) -> Handle:
    """What the value of a key must satisfy, whether the key is listed or not."""
    if name in shape.properties:
        return shape.properties[name]
    found: Handle = ()
    for rest in shape.rests:
        found = both(found, _rest_handle(rest, name))
    return found


def additional_handle(shape: Object) -> Handle:
    """What the value of a key must satisfy that is not listed and matches no pattern."""
    found: Handle = ()
    for rest in shape.rests:
        found = both(found, rest.additional)
    return found


def _rest_handle(rest: Rest, name: str) -> Handle:
    matching = [handle for pattern, handle in rest.patterns if pattern_matches(pattern, name)]
    found: Handle = () if matching else rest.additional
    for handle in matching:
        found = both(found, handle)
    return found

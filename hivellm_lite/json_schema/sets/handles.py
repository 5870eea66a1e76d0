"""Combines handles, negates them, and finds the handle of a key of an object."""

from __future__ import annotations

import json

from ..shapes import FALSE, Handle, Object, Rest
from ..strings.languages import pattern_matches

__all__ = ["additional_handle", "both", "denied", "negated", "place_of", "property_handle"]


_NOT = "!"
"""Begins the name of a negated handle. Pointers begin with ``#``."""


def both(left: Handle, right: Handle) -> Handle:
    """The handle of the values that satisfy both handles."""
    if FALSE in left or FALSE in right:
        return (FALSE,)
    together = (*left, *(pointer for pointer in right if pointer not in left))
    for name in together:
        if name.startswith(_NOT) and all(inner in together for inner in denied(name) or ()):
            return (FALSE,)
    return together


def negated(handle: Handle) -> Handle:
    """The handle of the values that fail at least one schema of a handle."""
    if not handle:
        return (FALSE,)
    if FALSE in handle:
        return ()
    if len(handle) == 1 and handle[0].startswith(_NOT):
        return denied(handle[0]) or ()
    return (_NOT + json.dumps(handle),)


def denied(name: str) -> Handle | None:
    """The handle that a name in a handle negates; None if the name is a pointer."""
    return tuple(json.loads(name.removeprefix(_NOT))) if name.startswith(_NOT) else None


def place_of(handle: Handle) -> str:
    """The pointer of the first schema of a handle, for messages and names of rules."""
    name = handle[0]
    while (inner := denied(name)) is not None:
        name = inner[0]
    return name


def property_handle(shape: Object, name: str) -> Handle:
    """The handle that the value of a key must satisfy, whether the key is listed or not."""
    if name in shape.properties:
        return shape.properties[name]
    found: Handle = ()
    for rest in shape.rests:
        found = both(found, _rest_handle(rest, name))
    return found


def additional_handle(shape: Object) -> Handle:
    """The handle for the values of keys that are not listed and match no pattern."""
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

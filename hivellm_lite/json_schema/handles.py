"""Handles of several schemas at once, and which handle a key of an object has."""

from __future__ import annotations

from functools import lru_cache

from ..gbnf.earley import recognise
from ..gbnf.syntax import Grammar
from .patterns import parse_pattern
from .shapes import FALSE, Handle, Object

__all__ = ["both", "pattern_matches", "property_handle"]


def both(left: Handle, right: Handle) -> Handle:
    """The handle of what two handles admit in common."""
    if FALSE in left or FALSE in right:
        return (FALSE,)
    return (*left, *(pointer for pointer in right if pointer not in left))


def property_handle(shape: Object, name: str) -> Handle:
    """What the value of a key must satisfy, whether the key is listed or not."""
    if name in shape.properties:
        return shape.properties[name]
    matching = [handle for pattern, handle in shape.patterns if pattern_matches(pattern, name)]
    if not matching:
        return shape.additional
    found: Handle = ()
    for handle in matching:
        found = both(found, handle)
    return found


@lru_cache(maxsize=4096)
def pattern_matches(pattern: str, text: str) -> bool:
    """Whether a regular expression that `parse_pattern` reads is found in a text."""
    return recognise(Grammar({"root": parse_pattern(pattern)}), text)

"""What a schema admits, as a union of shapes of one kind of value each.

A schema is read into ``Shapes``: the values that it admits are those of any of
them. Whatever a schema says through ``$ref``, ``allOf`` or ``anyOf`` is worked
into the shapes, so that what comes after knows six kinds of values and nothing
of keywords.

What is nested stays unread: a property or item is a `Handle`, the JSON pointers
of all schemas that its value must satisfy at once. Handles compare by value, so
a recursive schema has finitely many of them, and each becomes one rule.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ..lazy import lazy

__all__ = [
    "ANYTHING",
    "FALSE",
    "Array",
    "Contains",
    "Handle",
    "Number",
    "Object",
    "Rest",
    "Shape",
    "Shapes",
    "String",
    "Values",
    "canonical",
    "common_multiple",
    "distinct",
]

Handle = tuple[str, ...]
"""JSON pointers of schemas that apply together. Each of them excludes some value."""

FALSE = "false"
"""The schema ``false`` in a handle. Not a pointer: pointers begin with ``#``."""


@dataclass(frozen=True, eq=False)
class Values:
    """Exactly these JSON values; null, booleans, ``const`` and ``enum``."""

    values: tuple[Any, ...]

    def __eq__(self, other: object) -> bool:
        # For Python True is 1, for JSON Schema it is not.
        return isinstance(other, Values) and self.canonical == other.canonical

    def __hash__(self) -> int:
        return hash(self.canonical)

    @lazy
    def canonical(self) -> frozenset[str]:
        """The `canonical` text of each value."""
        return frozenset(map(canonical, self.values))


@dataclass(frozen=True)
class Number:
    """Numbers between two bounds; None means no bound.

    ``multiple_of`` is a divisor of every value. ``integer`` admits whole numbers only.
    """

    lower: Fraction | None = None
    upper: Fraction | None = None
    lower_open: bool = False
    upper_open: bool = False
    integer: bool = False
    multiple_of: Fraction | None = None
    without: tuple[Number, ...] = ()
    """Numbers that are left out."""
    exponent: bool = True
    """Whether it may be written with an exponent; says nothing about the value."""

    def admits(self, value: Fraction) -> bool:
        if any(left_out.admits(value) for left_out in self.without):
            return False
        if self.lower is not None and (value, not self.lower_open) < (self.lower, True):
            return False
        if self.upper is not None and (-value, not self.upper_open) < (-self.upper, True):
            return False
        if self.integer and value.denominator != 1:
            return False
        return self.multiple_of is None or (value / self.multiple_of).denominator == 1


@dataclass(frozen=True)
class String:
    """Strings; lengths count code points. Every pattern is searched for, as JSON Schema does."""

    minimum: int = 0
    maximum: int | None = None
    patterns: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    without: tuple[String | Values, ...] = ()
    """Strings that are left out; their patterns and formats count in the widest reading."""
    pointer: str = field(default="#", compare=False)
    """Where the pattern or format stands, for messages."""


@dataclass(frozen=True)
class Contains:
    """How many items satisfy a handle: ``minimum`` at least, ``maximum`` at most."""

    handle: Handle
    minimum: int = 1
    maximum: int | None = None


@dataclass(frozen=True)
class Array:
    """Arrays: a handle for each of the first items, and ``items`` for the rest."""

    prefix: tuple[Handle, ...] = ()
    items: Handle = ()
    minimum: int = 0
    maximum: int | None = None
    contains: tuple[Contains, ...] = ()
    unique: bool = False
    pointer: str = field(default="#", compare=False)
    """Where the array's schema stands, for messages."""

    def item(self, index: int) -> Handle:
        return self.prefix[index] if index < len(self.prefix) else self.items


@dataclass(frozen=True)
class Rest:
    """What one schema says of the keys that it does not list.

    ``patterns``: regular expressions of keys, and what their values must satisfy, all
    of those that match; ``additional`` holds for the values of keys that match none.
    """

    patterns: tuple[tuple[str, Handle], ...] = ()
    additional: Handle = ()


@dataclass(frozen=True)
class Object:
    """Objects.

    Each of ``rests`` holds for keys that are not in ``properties``; listed properties
    heed them already. Whether keys that match no pattern are written at all is
    another question: ``open`` says so. An object whose properties a schema lists
    is not open unless it has ``additionalProperties``.
    """

    properties: Mapping[str, Handle] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    rests: tuple[Rest, ...] = (Rest(),)
    names: Handle = ()
    """What every key, as a string, must satisfy."""
    open: bool = True
    minimum: int = 0
    maximum: int | None = None
    pointer: str = field(default="#", compare=False)
    """Where the object's schema stands, for messages."""

    @lazy
    def _hash(self) -> int:
        return hash((tuple(self.properties.items()), self.required, self.rests, self.names))

    def __hash__(self) -> int:
        return self._hash

    @property
    def patterns(self) -> tuple[str, ...]:
        """The regular expressions of keys."""
        return tuple(dict.fromkeys(p for rest in self.rests for p, _ in rest.patterns))

    @property
    def has_others(self) -> bool:
        """Whether keys that are not listed are written: also where the listed ones are too few."""
        return self.open or self.minimum > len(self.properties.keys() | self.required)


Shape = Values | Number | String | Array | Object
Shapes = tuple[Shape, ...]

ANYTHING: Shapes = (Values((None, False, True)), Number(), String(), Array(), Object())
"""Every JSON value: what the schemas ``true`` and ``{}`` admit."""


def canonical(value: object) -> str:
    """A text that two JSON values share exactly if JSON Schema calls them equal.

    ``1`` and ``1.0`` are equal, ``1`` and ``true`` are not, the order of keys is nothing.
    """
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def common_multiple(left: Fraction, right: Fraction) -> Fraction:
    """The least positive number that is a multiple of both divisors."""
    return Fraction(
        math.lcm(left.numerator, right.numerator), math.gcd(left.denominator, right.denominator)
    )


def distinct(shapes: Iterable[Shape]) -> Shapes:
    """The same union with all values in one shape, in front, and no shape twice."""
    values: dict[str, Any] = {}
    others: dict[Shape, None] = {}
    for shape in shapes:
        if isinstance(shape, Values):
            for value in shape.values:
                values.setdefault(canonical(value), value)
        else:
            others[shape] = None
    return (*([Values(tuple(values.values()))] if values else []), *others)

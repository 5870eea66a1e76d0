"""Shapes: the values that a schema admits, as a union of sets with one type of value each.

The reader turns a schema into ``Shapes``. The schema admits a value if one of the shapes does. The
reader works ``$ref``, ``allOf`` and ``anyOf`` into the shapes, so the writers know five kinds of
shapes and no keywords.

Nested schemas stay unread. A property or an item is a `Handle`: the JSON pointers of all schemas
that its value must satisfy at once. Handles compare by value, so a recursive schema has finitely
many handles, and each handle becomes one rule.
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
"""JSON pointers of schemas that apply together. Each schema excludes some value."""

FALSE = "false"
"""Stands for the schema ``false`` in a handle. Pointers begin with ``#``."""


@dataclass(frozen=True, eq=False)
class Values:
    """Exactly these JSON values: null, booleans, and those of ``const`` and ``enum``."""

    values: tuple[Any, ...]

    def __eq__(self, other: object) -> bool:
        # Python takes True for 1, JSON Schema does not.
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
    """Whether a number may be written with an exponent. The value is not affected."""

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
    """Strings. Lengths count code points. A pattern may match anywhere, as in JSON Schema."""

    minimum: int = 0
    maximum: int | None = None
    patterns: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    without: tuple[String | Values, ...] = ()
    """Strings that are left out. Their patterns and formats are read as widely as possible."""
    pointer: str = field(default="#", compare=False)
    """The place of the pattern or format, for messages."""


@dataclass(frozen=True)
class Contains:
    """At least ``minimum`` and at most ``maximum`` items satisfy the handle."""

    handle: Handle
    minimum: int = 1
    maximum: int | None = None


@dataclass(frozen=True)
class Array:
    """Arrays: one handle for each of the first items, and ``items`` for all further items."""

    prefix: tuple[Handle, ...] = ()
    items: Handle = ()
    minimum: int = 0
    maximum: int | None = None
    contains: tuple[Contains, ...] = ()
    unique: bool = False
    pointer: str = field(default="#", compare=False)
    """The place of the array's schema, for messages."""

    def item(self, index: int) -> Handle:
        return self.prefix[index] if index < len(self.prefix) else self.items


@dataclass(frozen=True)
class Rest:
    """What one schema demands of keys that it does not list.

    ``patterns`` pairs regular expressions with handles: the value of a key must satisfy the
    handles of all patterns that match the key. ``additional`` is for keys that match none.
    """

    patterns: tuple[tuple[str, Handle], ...] = ()
    additional: Handle = ()


@dataclass(frozen=True)
class Object:
    """Objects.

    All of ``rests`` apply to keys that are not in ``properties``; the handles of listed
    properties already include them. ``open`` says whether keys that match no pattern are
    written at all. A schema that lists properties is open only with ``additionalProperties``.
    """

    properties: Mapping[str, Handle] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    rests: tuple[Rest, ...] = (Rest(),)
    names: Handle = ()
    """The handle that every key, as a string, must satisfy."""
    open: bool = True
    minimum: int = 0
    maximum: int | None = None
    pointer: str = field(default="#", compare=False)
    """The place of the object's schema, for messages."""

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
        """Whether unlisted keys are written: in open objects, or to reach the minimum."""
        return self.open or self.minimum > len(self.properties.keys() | self.required)


Shape = Values | Number | String | Array | Object
Shapes = tuple[Shape, ...]

ANYTHING: Shapes = (Values((None, False, True)), Number(), String(), Array(), Object())
"""Every JSON value, as the schemas ``true`` and ``{}`` admit."""


def canonical(value: object) -> str:
    """A text that is the same for two JSON values if and only if JSON Schema calls them equal.

    ``1`` and ``1.0`` are equal, ``1`` and ``true`` are not. The order of keys does not matter.
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
    """The same union with each shape once, and all single values in one shape at the front."""
    values: dict[str, Any] = {}
    others: dict[Shape, None] = {}
    for shape in shapes:
        if isinstance(shape, Values):
            for value in shape.values:
                values.setdefault(canonical(value), value)
        else:
            others[shape] = None
    return (*([Values(tuple(values.values()))] if values else []), *others)

"""Reads a JSON object field by field and collects what is wrong with it.

``Fields`` notes every problem with its path, line and column instead of stopping
at the first::

    document = parse_object(data, source="manifest.json")
    problems: list[str] = []
    fields = Fields.of(document, problems)
    name = fields.text("name", required=True)
    rank = fields.child("adapter").integer("r", minimum=1)

This module knows nothing about any particular file format.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from .parsing import JsonObject, JsonPath, shown

__all__ = ["Fields"]

MAX_INTEGER = 2**53
"""Largest whole number of a field: the last that every JSON parser reads exactly."""

MAX_ITEMS = 10_000
"""Longest list of a field. Published manifests list a few dozen keywords."""

_COMPARED = 64
"""How many keys, and of how many characters, are searched for one that was misspelt;
comparing two is quadratic in their length."""

T = TypeVar("T")


class Fields:
    """One JSON object, read field by field; ``null`` counts as absent.

    For a field that is absent or wrong, every method returns None (or the empty value). Whatever
    is wrong is added to the shared list of problems.
    """

    def __init__(
        self, document: JsonObject, path: JsonPath, value: Mapping[str, Any], problems: list[str]
    ) -> None:
        self.document = document
        self.path = path
        self.value = value
        self._problems = problems

    @classmethod
    def of(cls, document: JsonObject, problems: list[str]) -> Fields:
        """The fields of the root object."""
        return cls(document, (), document.value, problems)

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self.value.get(key) is not None

    def problem(self, key: str, problem: str, *, index: int | None = None) -> None:
        """Record that the field, or one item of it, is wrong."""
        path = (*self.path, key) if index is None else (*self.path, key, index)
        self._problems.append(f"{self.document.where(path)}: {problem}")

    def missing(self, key: str, expected: str, hint: str = "") -> None:
        """Record that a required field is absent, with the key that may be meant."""
        keys = [k for k in self.value if len(k) <= _COMPARED and self.has(k)]
        if not hint and (close := difflib.get_close_matches(key, keys[:_COMPARED], n=1)):
            place = self.document.where((*self.path, close[0])).partition(", ")[2]
            hint = f"Did you misspell it as {shown(close[0])} ({place})?"
        self.problem(key, f"missing, expected {expected}" + (f". {hint}" if hint else ""))

    def text(self, key: str, *, required: bool = False) -> str | None:
        """A string."""
        value = self._checked(key, "a string", lambda v: v if isinstance(v, str) else None)
        if required and not self.has(key):
            self.missing(key, "a string")
        return value

    def boolean(self, key: str) -> bool:
        """``true`` or ``false``; False if absent."""
        return bool(
            self._checked(key, "true or false", lambda v: v if isinstance(v, bool) else None)
        )

    def integer(self, key: str, *, minimum: int) -> int | None:
        """A whole number; ``12.0`` counts as one."""
        value = self.number(
            key,
            f"a whole number, {minimum} or more",
            lambda v: minimum <= v <= MAX_INTEGER and v == int(v),
        )
        return None if value is None else int(value)

    def number(self, key: str, expected: str, valid: Callable[[float], bool]) -> float | None:
        """A number for which ``valid`` holds; ``expected`` describes such numbers."""

        def number(value: object) -> float | None:
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            return float(value) if is_number and valid(value) else None  # type: ignore[arg-type]

        return self._checked(key, expected, number)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings; one string alone counts as a list of one."""
        value = self.value.get(key)
        if isinstance(value, str):
            return (value,)
        items = self._checked(key, "a list of strings", _list_or_none) or []
        if not self._is_short(key, items):
            return ()
        for index, item in enumerate(items):
            if not isinstance(item, str):
                self.problem(key, f"found {shown(item)}, expected a string", index=index)
        return tuple(item for item in items if isinstance(item, str))

    def child(self, key: str) -> Fields:
        """The fields of an object; of an empty one if absent."""
        value = self._checked(key, "an object", lambda v: v if isinstance(v, dict) else None)
        return Fields(self.document, (*self.path, key), value or {}, self._problems)

    def children(self, key: str) -> tuple[Fields, ...]:
        """The fields of every object of a list."""
        found = []
        items = self._checked(key, "a list of objects", _list_or_none) or []
        if not self._is_short(key, items):
            return ()
        for index, item in enumerate(items):
            if isinstance(item, dict):
                path = (*self.path, key, index)
                found.append(Fields(self.document, path, item, self._problems))
            else:
                self.problem(key, f"found {shown(item)}, expected an object", index=index)
        return tuple(found)

    def _is_short(self, key: str, items: list[Any]) -> bool:
        if len(items) > MAX_ITEMS:
            self.problem(key, f"found {len(items)} entries, expected at most {MAX_ITEMS}")
        return len(items) <= MAX_ITEMS

    def _checked(self, key: str, expected: str, convert: Callable[[Any], T | None]) -> T | None:
        value = self.value.get(key)
        if value is None or (converted := convert(value)) is not None:
            return None if value is None else converted
        self.problem(key, f"found {shown(value)}, expected {expected}")
        return None


def _list_or_none(value: object) -> list[Any] | None:
    return value if isinstance(value, list) else None

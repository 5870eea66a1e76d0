"""Collects the problems of a model, and reads its metadata with checks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..arrays import read_numbers
from ..header import GGUFHeader

__all__ = ["Findings", "GGUFProblem"]

_UINT32, _FLOAT32, _BOOL = 4, 6, 7

_TYPE_NAMES = {
    0: "uint8",
    1: "int8",
    2: "uint16",
    3: "int16",
    4: "uint32",
    5: "int32",
    6: "float32",
    7: "bool",
    8: "string",
    10: "uint64",
    11: "int64",
    12: "float64",
}


@dataclass(frozen=True)
class GGUFProblem:
    """One problem. ``key`` is the name of a metadata value or a tensor."""

    key: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.key:.100} is {self.found}, expected {self.expected}"


@dataclass
class Findings:
    """The problems of one model. The methods read values and note their problems."""

    header: GGUFHeader
    problems: list[GGUFProblem] = field(default_factory=list)

    def add(self, key: str, found: str, expected: str) -> None:
        """Note a problem."""
        self.problems.append(GGUFProblem(key, found, expected))

    def own(self, name: str) -> str:
        """The full key of one of the architecture's hyper-parameters."""
        return f"{self.header.architecture}.{name}"

    def integer(self, name: str, low: int, high: int, default: int | None = None) -> int | None:
        """A uint32 from ``low`` to ``high``. Notes a problem and returns None for anything else.

        Without a default the value must exist. An array counts if it has one value for each
        layer and all of them are equal.
        """
        key, expected = self.own(name), f"an integer from {low} to {high}"
        array = self.header.arrays.get(key)
        if array is not None:
            if array.type_code not in (_UINT32, 5):
                self.add(key, f"an array of {self._type(array.type_code)}", expected)
                return None
            if array.length != self.header.metadata.get(self.own("block_count")):
                self.add(key, f"an array of {array.length}", "one value for each layer")
                return None
            values = {int(value) for value in read_numbers(self.header, key)}
            if len(values) != 1:
                self.add(key, "not the same in all layers", expected)
                return None
            value: object = values.pop()
        elif key in self.header.metadata:
            value = self.header.metadata[key]
            if (code := self.header.type_codes[key]) != _UINT32:
                self.add(key, self._typed(key, code), f"{expected}, as uint32")
                return None
        elif default is not None:
            return default
        else:
            self.add(key, "missing", expected)
            return None
        if type(value) is not int or not low <= value <= high:
            self.add(key, f"{value!r:.50}", expected)
            return None
        return value

    def number(
        self, name: str, low: float, high: float, default: float | None = None
    ) -> float | None:
        """A finite float32 from ``low`` to ``high``, or a problem and None."""
        key, expected = self.own(name), f"a number from {low:g} to {high:g}"
        if key in self.header.arrays:
            self.add(key, "an array", expected)
        elif key not in self.header.metadata:
            if default is None:
                self.add(key, "missing", expected)
            return default
        elif (code := self.header.type_codes[key]) != _FLOAT32:
            self.add(key, self._typed(key, code), f"{expected}, as float32")
        else:
            value = float(self.header.metadata[key])
            if math.isfinite(value) and low <= value <= high:
                return value
            self.add(key, f"{value:g}", expected)
        return None

    def flag(self, key: str) -> bool | None:
        """The bool, or None if the key has none."""
        value = self.header.metadata.get(key)
        if isinstance(value, bool) or (value is None and key not in self.header.arrays):
            return value
        self.add(key, f"{value!r:.50}", "true or false")
        return None

    def text(self, key: str) -> str | None:
        """The string, or None if the key has none."""
        value = self.header.metadata.get(key)
        if isinstance(value, str) or (value is None and key not in self.header.arrays):
            return value
        self.add(key, f"{value!r:.50}", "a string")
        return None

    def _typed(self, key: str, code: int) -> str:
        return f"{self.header.metadata[key]!r:.50} as {self._type(code)}"

    def _type(self, code: int) -> str:
        return _TYPE_NAMES.get(code, f"type {code}")

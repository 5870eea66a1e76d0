"""Reads the keys of a ``config.json`` and checks their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConversionError

__all__ = ["ConfigFields"]

MAX_SIZE = 1 << 24
"""Largest size of a dimension. It exceeds every known model and keeps products below 2^53."""

MAX_NUMBER = 1e12
"""Limit of RoPE's numbers and of epsilons. The largest known rope_theta is 1e8."""

MIN_NUMBER = 1e-15
"""In float32, smaller numbers become zero or lead to a division by zero. The smallest known epsilon
is 1e-12."""


_FLAGS = frozenset({bool, int})


@dataclass(frozen=True)
class ConfigFields:
    """The keys of a config file, or of an object inside it. A null counts as absent."""

    path: Path
    values: Mapping[str, Any]

    def inner(self, name: str) -> ConfigFields:
        """The object called ``name``, empty if there is none."""
        value = self.values.get(name)
        return ConfigFields(self.path, value if isinstance(value, dict) else {})

    def of_text(self) -> ConfigFields:
        """The keys of the text model: those of ``text_config``, if there is one, come first.

        Whether the head is tied is the whole model's choice.
        """
        inner = self.inner("text_config").values
        if not inner:
            return self
        own = {name: value for name, value in inner.items() if value is not None}
        if self.get("tie_word_embeddings") is not None:
            own["tie_word_embeddings"] = self.values["tie_word_embeddings"]
        return ConfigFields(self.path, {**self.values, **own})

    def renamed(self, keys: Mapping[str, str], defaults: Mapping[str, Any]) -> ConfigFields:
        """The same keys and ``defaults``. What stands under a key of ``keys`` has its usual name.

        ``keys`` maps usual names to the names in this file, which take precedence.
        """
        given = {name: value for name, value in self.values.items() if value is not None}
        usual = {name: given[other] for name, other in keys.items() if other in given}
        return ConfigFields(self.path, {**defaults, **given, **usual})

    def flags(self, name: str, length: int) -> tuple[bool, ...] | None:
        """A list of ``length`` flags, which may be 0 and 1; None if absent."""
        values = self.get(name)
        if values is None:
            return None
        if not isinstance(values, list) or len(values) != length or {*map(type, values)} - _FLAGS:
            raise self.error(f"{name} is {values!r:.50}, expected a list of {length} flags")
        return tuple(bool(value) for value in values)

    def choices(self, name: str, length: int, known: Collection[str]) -> tuple[str, ...] | None:
        """A list of ``length`` words, each one of ``known``; None if absent."""
        values = self.get(name)
        if values is None:
            return None
        words = " or ".join(sorted(known))
        if not isinstance(values, list) or len(values) != length:
            raise self.error(f"{name} is {values!r:.50}, expected a list of {length}: {words}")
        for value in values:
            if not isinstance(value, str) or value not in known:
                raise self.error(f"{name} has {value!r:.50}, expected {words}")
        return tuple(values)

    def get(self, name: str, default: Any = None) -> Any:
        """The value, unchecked."""
        value = self.values.get(name)
        return default if value is None else value

    def size(self, name: str, default: int | None = None) -> int:
        """A positive integer. Raises ConversionError for anything else."""
        value = self.get(name, default)
        if type(value) is not int or not 1 <= value <= MAX_SIZE:
            raise self.error(f"{name} is {value!r:.50}, expected a positive integer")
        return value

    def common_size(self, name: str) -> int:
        """A size, or a list of the same size for every layer."""
        values = self.get(name)
        if isinstance(values, list) and values and all(value == values[0] for value in values):
            return ConfigFields(self.path, {name: values[0]}).size(name)
        return self.size(name)

    def number(self, name: str, default: float | None = None) -> float:
        """A positive number in float32's range. Raises ConversionError for anything else."""
        return self._checked(name, self.get(name, default))

    def numbers(self, name: str, length: int) -> tuple[float, ...]:
        """A list of ``length`` positive numbers. Raises ConversionError for anything else."""
        values = self.get(name)
        if not isinstance(values, list) or len(values) != length:
            raise self.error(f"{name} is {values!r:.50}, expected a list of {length} numbers")
        return tuple(self._checked(name, value) for value in values)

    def error(self, text: str) -> ConversionError:
        """An error about ``text`` that names the file."""
        return ConversionError(f"{self.path}: {text}")

    def _checked(self, name: str, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.error(f"{name} is {value!r:.50}, expected a number")
        # This form also refuses NaN, and integers beyond float's range.
        if not MIN_NUMBER <= value < MAX_NUMBER:
            raise self.error(
                f"{name} is {value!r:.50}, expected a positive number "
                f"(from {MIN_NUMBER:g} to {MAX_NUMBER:g})"
            )
        return value

"""Reads the options of an ``adapter_config.json`` and checks their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import ConversionError

__all__ = ["MAX_RANK", "Options"]

MAX_RANK = 65_536
"""No layer is wider, so an adapter of this rank could not be smaller than the layer."""

MAX_NUMBER = 1e9
"""Far beyond any real alpha. The limit keeps scaled weights within float32."""


@dataclass(frozen=True)
class Options:
    """The keys of a config. A null counts as absent. ``source`` names the file in messages."""

    values: Mapping[str, Any]
    source: str

    def get(self, name: str, default: Any = None) -> Any:
        """The value, unchecked."""
        value = self.values.get(name)
        return default if value is None else value

    def rank(self, name: str, default: int | None = None) -> int:
        """A rank, or another size of a layer: an integer from 1 to `MAX_RANK`."""
        return self.checked_rank(self.get(name, default), name)

    def checked_rank(self, value: object, name: str) -> int:
        """``value``, if it is a rank. Raises ConversionError, which names ``name``, if not."""
        if type(value) is not int or not 1 <= value <= MAX_RANK:
            raise self.error(f"{name} is {value!r:.50}, expected a positive integer")
        return value

    def number(self, name: str, default: float | None = None) -> float:
        """A number of any sign, as an alpha is. Raises ConversionError for anything else."""
        return self.checked_number(self.get(name, default), name)

    def checked_number(self, value: object, name: str) -> float:
        """``value``, if it is a number. Raises ConversionError, which names ``name``, if not."""
        # Written so that NaN and integers beyond float's range fail too.
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not abs(value) < MAX_NUMBER
        ):
            raise self.error(f"{name} is {value!r:.50}, expected a number")
        return value

    def seed(self, name: str, default: int) -> int:
        """A seed of a random generator: a 64-bit integer of any sign."""
        value = self.get(name, default)
        if type(value) is not int or not -(1 << 63) <= value < 1 << 64:
            raise self.error(f"{name} is {value!r:.50}, expected a 64-bit integer")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false. Raises ConversionError for anything else."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise self.error(f"{name} is {value!r:.50}, expected true or false")
        return value

    def indices(self, value: object, name: str, limit: int) -> tuple[int, ...]:
        """``value``, if it is a list of different integers from 0 up to ``limit`` exclusive."""
        if not isinstance(value, list) or not all(type(one) is int for one in value):
            raise self.error(f"{name} is {value!r:.50}, expected a list of integers")
        if value and not 0 <= min(value) <= max(value) < limit:
            raise self.error(f"{name} has {max(value)}; 0 to {limit - 1} are possible")
        if len(set(value)) != len(value):
            raise self.error(f"{name} names an index twice")
        return tuple(value)

    def error(self, text: str) -> ConversionError:
        """An error about ``text`` that names the config."""
        return ConversionError(f"{self.source}: {text}")

"""How much work and memory one rendering of a chat template may take.

A template is an untrusted program. Each of its operations is paid for before it is carried
out, in units of about one byte or ten nanoseconds. So the same template and conversation
pass, or fail, on every machine alike.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView
from typing import NamedTuple

__all__ = ["Budget", "TemplateLimitError"]

BASE_UNITS = 5_000_000
"""Units for every rendering. The costliest published template spends 91,000 on five messages."""

UNITS_PER_CHARACTER = 200
"""Units for every character of the request. Published templates spend at most 14 on messages, and
up to 120 on 128 tools with nested schemas, which they go through several times."""

UNITS_PER_MESSAGE = 20_000
"""Units for every message; published templates spend at most 14,000."""

UNITS_PER_PAIR = 400
"""Units for every pair of messages: some templates search all earlier messages for each one."""

ELEMENT = 64
"""Units for an element of a list: the bytes of a short string."""

MAX_WIDTH = 1_000
"""The largest width, precision or indent that a template may ask for."""

MAX_INTEGER_BITS = 8_192

CONTAINERS = (list, tuple, dict, set, frozenset, KeysView, ItemsView, ValuesView)


class TemplateLimitError(Exception):
    """The template does more work than any honest template."""


class Size(NamedTuple):
    """How deeply a value is nested, and how many values and characters are in it."""

    depth: int
    values: int
    characters: int


class Budget:
    """The units that one rendering has left."""

    def __init__(self, characters: int = 0, messages: int = 1) -> None:
        self.left = BASE_UNITS + UNITS_PER_CHARACTER * characters
        self.left += messages * (UNITS_PER_MESSAGE + UNITS_PER_PAIR * messages)
        self.mixed_in: str | None = None
        """An operation that could not tell the template's text from a user's; None if all could."""

    def spend(self, units: int) -> None:
        """Pay. Raises TemplateLimitError if too few units are left."""
        self.left -= units
        if self.left < 0:
            raise TemplateLimitError("it does too much work, or makes too much text")

    def measure(self, value: object) -> None:
        """Pay for going through ``value`` once."""
        self.measured(value)

    def measured(self, value: object) -> Size:
        """Pay for going through ``value`` once; returns how large it is.

        A list may hold the same list several times, at every level. Such a list is paid for, and
        counted, as often as an operation that goes through ``value`` would meet it.
        """
        depth = values = characters = 0
        pending = [(value, 1)]
        while pending:
            one, level = pending.pop()
            values += 1
            if isinstance(one, str):
                self.spend(4 + len(one))
                characters += len(one)
            elif isinstance(one, CONTAINERS):
                depth = max(depth, level)
                self.spend(ELEMENT * (1 + len(one)))
                inner: Iterable[object] = one
                if isinstance(one, dict):
                    inner = [*one, *one.values()]
                pending += [(each, level + 1) for each in inner]
            else:
                self.spend(4)
        return Size(depth, values, characters)

    def relay(self, items: Iterable[object]) -> Iterator[object]:
        """The items; each is paid for when it is taken."""
        for item in items:
            self.spend(ELEMENT)
            yield item

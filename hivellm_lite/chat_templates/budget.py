"""How much work and memory one rendering of a chat template may take.

A template is a program of a stranger. Everything that it does is paid for before it is
done, in units of about one byte or ten nanoseconds, so the same template and
conversation either pass or fail, on every machine.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, ValuesView

__all__ = ["Budget", "TemplateLimitError"]

BASE_UNITS = 5_000_000
"""For every rendering. The costliest published template spends 91,000 on five messages."""

UNITS_PER_CHARACTER = 60
"""For every character of the conversation; published templates spend 14 at most."""

UNITS_PER_MESSAGE = 20_000
"""For every message; published templates spend 14,000 at most."""

UNITS_PER_PAIR = 400
"""For every pair of messages: some templates look for each one through all before it."""

ELEMENT = 64
"""What an element of a list costs: the bytes of a short string."""

MAX_WIDTH = 1_000
"""Width, precision or indent that a template may ask for."""

MAX_INTEGER_BITS = 8_192

CONTAINERS = (list, tuple, dict, set, frozenset, KeysView, ItemsView, ValuesView)


class TemplateLimitError(Exception):
    """The template does more than any honest one."""


class Budget:
    """What is left of the work that one rendering may do."""

    def __init__(self, characters: int = 0, messages: int = 1) -> None:
        self.left = BASE_UNITS + UNITS_PER_CHARACTER * characters
        self.left += messages * (UNITS_PER_MESSAGE + UNITS_PER_PAIR * messages)
        self.mixed_in: str | None = None
        """An operation that could not keep a template's text and a user's apart."""

    def spend(self, units: int) -> None:
        self.left -= units
        if self.left < 0:
            raise TemplateLimitError("it does too much work, or makes too much text")

    def measure(self, value: object) -> int:
        """Pay for going through ``value`` once; returns how deeply it is nested.

        A list may hold itself many times over by holding another twice: it is paid for as
        often as something that goes through it would meet it.
        """
        depth = 0
        pending = [(value, 1)]
        while pending:
            one, level = pending.pop()
            if isinstance(one, str):
                self.spend(4 + len(one))
            elif isinstance(one, CONTAINERS):
                depth = max(depth, level)
                self.spend(ELEMENT * (1 + len(one)))
                inner: Iterable[object] = one
                if isinstance(one, dict):
                    inner = [*one, *one.values()]
                pending += [(each, level + 1) for each in inner]
            else:
                self.spend(4)
        return depth

    def relay(self, items: Iterable[object]) -> Iterator[object]:
        """The items, each paid for when it is taken."""
        for item in items:
            self.spend(ELEMENT)
            yield item

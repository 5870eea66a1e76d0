r"""Finds the rank and the alpha of each module of an adapter.

PEFT's rule: a key of ``rank_pattern`` or ``alpha_pattern`` is a regular expression that
matches a module's whole name, or its end after a dot. The first key that matches wins.

Source: ``get_pattern_key`` of PEFT 0.21.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from ...errors import ConversionError
from .regex_automaton import Automaton, Budget, UnsuitablePattern

__all__ = ["ModulePatterns"]

MAX_PATTERN_LENGTH = 1000
"""Characters of one key. A list of eighty layers by number has 300."""

MAX_STEPS = 2_000_000
"""Visited states and comparisons for all keys and modules of an adapter: seconds at most. An
adapter with a few expressions needs about ten thousand."""

T = TypeVar("T")

_PLAIN = re.compile(r"(?:[\w-]|\\?\.)+")
"""Names in which a dot matches any character. Matching them never backtracks."""


class ModulePatterns(Generic[T]):
    """Values by regular expression. ``name`` and ``source`` appear in messages.

    Raises ConversionError for a key that is malformed, that an automaton cannot match, or that
    takes too long. The last may show only at a lookup.
    """

    def __init__(self, values: Mapping[str, T], name: str, source: str) -> None:
        self._where = f"{source}: {name}"
        self._budget = Budget(MAX_STEPS)
        self._found: dict[str, T | None] = {}
        self._values = [(self._compile(key), value) for key, value in values.items()]

    def lookup(self, module: str) -> T | None:
        """The value of the first key that matches ``module``; None if none does."""
        if module not in self._found:
            hits = (value for matches, value in self._values if matches(module))
            try:
                self._found[module] = next(hits, None)
            except UnsuitablePattern as error:
                raise ConversionError(f"{self._where} {error}: {module[:80]!r}") from None
        return self._found[module]

    def _compile(self, key: str) -> Callable[[str], bool]:
        if len(key) > MAX_PATTERN_LENGTH:
            why = f"has {len(key)} characters; {MAX_PATTERN_LENGTH} are allowed"
            raise self._unsuitable(key, why)
        if _PLAIN.fullmatch(key):
            return self._plain(key)
        try:
            return Automaton.compile(rf"(.*\.)?({key})$", self._budget).matches
        except UnsuitablePattern as error:
            raise self._unsuitable(key, str(error)) from None

    def _plain(self, key: str) -> Callable[[str], bool]:
        characters = re.findall(r"\\\.|.", key)
        wild = [index for index, character in enumerate(characters) if character == "."]
        text = "".join(character[-1] for character in characters)
        last = text[wild[-1] + 1 :] if wild else text
        n, spend = len(text), self._budget.spend

        def matches(module: str) -> bool:
            spend(1)
            if not module.endswith(last):
                return False
            start = len(module) - n
            if start < 0 or (start and module[start - 1] != "."):
                return False
            tail = list(module[start:])
            for index in wild:
                tail[index] = "."
            return "".join(tail) == text

        return matches

    def _unsuitable(self, key: str, why: str) -> ConversionError:
        return ConversionError(
            f"{self._where}: the pattern {key[:80]!r} {why}\n"
            "Name the modules themselves, one key for each."
        )

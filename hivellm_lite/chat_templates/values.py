"""What a chat template sees of a request: plain values, in which every text is marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .marked_text import Origin, mark

__all__ = ["ValueMarker"]

VALUE = 8
"""What a value counts beside its characters: a list of a million numbers is work, too."""


class ValueMarker:
    """Marks values, and counts the ``characters`` in them. Keys are marked like values: the name
    of an argument is as much a stranger's as the argument.
    """

    def __init__(self) -> None:
        self.characters = 0

    def message(self, message: Mapping[str, Any], index: int) -> dict[str, Any]:
        """A message. Its role, which is one of a few known words, is not marked: templates make
        control tokens of it.
        """
        return {
            key: value if key == "role" else self.marked(value, index)
            for key, value in message.items()
        }

    def marked(self, value: Any, origin: Origin) -> Any:
        """A copy of ``value``, which consists of JSON values and tuples."""
        self.characters += VALUE
        if isinstance(value, str):
            self.characters += len(value)
            return mark(value, origin)
        if isinstance(value, Mapping):
            return {
                self.marked(key, origin): self.marked(inner, origin) for key, inner in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.marked(inner, origin) for inner in value]
        return value

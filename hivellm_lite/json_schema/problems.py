"""Errors about schemas: what is wrong, at which JSON pointer, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import GrammarError
from ..strict_json.parsing import shown

__all__ = ["Problems", "Unenforced", "malformed"]

_LISTED = 20
"""Keywords that a message lists. Further keywords are only counted."""


@dataclass(frozen=True)
class Unenforced:
    """A keyword that a grammar cannot enforce, with the JSON pointer of its schema."""

    keyword: str
    pointer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.keyword!r} at {self.pointer}: {self.reason}"


class Problems:
    """Collects the keywords that are not enforced, each once, in the order of discovery."""

    def __init__(self) -> None:
        self._found: dict[Unenforced, None] = {}

    def add(self, keyword: str, pointer: str, reason: str) -> None:
        self._found.setdefault(Unenforced(keyword, pointer, reason))

    @property
    def found(self) -> tuple[Unenforced, ...]:
        return tuple(self._found)

    def raise_any(self) -> None:
        """Raise a `GrammarError` that lists the keywords, if there are any."""
        if not self._found:
            return
        first, *others = self._found
        lines = [f"JSON schema: {first}"]
        lines += [f"also {problem}" for problem in others[: _LISTED - 1]]
        if len(others) >= _LISTED:
            lines.append(f"and {len(others) - _LISTED + 1} more")
        lines.append("Remove the keyword, or pass allow_unenforced=True to generate without it.")
        raise GrammarError("\n".join(lines))


def malformed(pointer: str, keyword: str, value: object, expected: str) -> GrammarError:
    """The error for a keyword with a value that JSON Schema does not allow."""
    return GrammarError(
        f"JSON schema: {keyword!r} at {pointer} is {shown(value)}, expected {expected}\n"
        "Correct the schema."
    )

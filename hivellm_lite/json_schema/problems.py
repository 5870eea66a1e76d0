"""How a schema is refused: what is wrong, at which JSON pointer, and what to do."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import GrammarError
from ..strict_json.parsing import shown

__all__ = ["Problems", "Unenforced", "malformed"]

_LISTED = 20
"""How many keywords a message lists."""


@dataclass(frozen=True)
class Unenforced:
    """A keyword that a grammar cannot hold answers to, with the JSON pointer of its schema."""

    keyword: str
    pointer: str
    reason: str

    def __str__(self) -> str:
        return f"{self.keyword!r} at {self.pointer}: {self.reason}"


class Problems:
    """Collects the keywords that are not enforced, each once, in the order of their discovery."""

    def __init__(self) -> None:
        self._found: dict[Unenforced, None] = {}

    def add(self, keyword: str, pointer: str, reason: str) -> None:
        self._found.setdefault(Unenforced(keyword, pointer, reason))

    @property
    def found(self) -> tuple[Unenforced, ...]:
        return tuple(self._found)

    def raise_any(self) -> None:
        """Raises `GrammarError` that lists all of them, if there are any."""
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
    """The error for a keyword whose value is not what JSON Schema asks for."""
    return GrammarError(
        f"JSON schema: {keyword!r} at {pointer} is {shown(value)}, expected {expected}\n"
        "Correct the schema."
    )

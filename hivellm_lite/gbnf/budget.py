"""One budget for all that compiling a grammar makes: states, transitions, and looking at them.

States alone say little. A thousand optional literals in a row have few, and half a
million transitions, since each may be followed by any of the rest.
"""

from __future__ import annotations

from ..errors import GrammarError

__all__ = ["MAX_WORK", "TRANSITION", "Budget"]

MAX_WORK = 5_000_000
"""Steps of a few hundred nanoseconds to a microsecond: some seconds at most. The largest
published grammar takes a twentieth."""

TRANSITION = 3
"""Steps that a transition costs: it is also kept, at about 100 bytes."""


class Budget:
    """The work that may still be done for a grammar."""

    def __init__(self, source: str = "<grammar>", work: int | None = None) -> None:
        self._source = source
        self.left = MAX_WORK if work is None else work

    def spend(self, work: int) -> None:
        """Raises `GrammarError` when the budget is used up."""
        self.left -= work
        if self.left < 0:
            raise GrammarError(
                f"{self._source}: the grammar is too large or too ambiguous to be compiled\n"
                "Look for long rows of optional parts, of which any may follow any other, and "
                "for high repetition counts within one another."
            )

"""One budget for all the work of compiling a grammar: states, transitions, and visits to them.

The number of states says little. A thousand optional literals in a row have few states but half a
million transitions, since any of the later literals may follow each.
"""

from __future__ import annotations

from ..errors import GrammarError

__all__ = ["MAX_WORK", "TRANSITION", "Budget"]

MAX_WORK = 5_000_000
"""Steps, each of a few hundred nanoseconds to a microsecond: a few seconds at most. The largest
published grammar takes a twentieth."""

TRANSITION = 3
"""Steps that a transition costs. It also takes about 100 bytes of memory."""


class Budget:
    """The work that is left for a grammar."""

    def __init__(self, source: str = "<grammar>", work: int | None = None) -> None:
        self._source = source
        self.left = MAX_WORK if work is None else work

    def spend(self, work: int) -> None:
        """Take ``work`` steps. Raises `GrammarError` when the budget is used up."""
        self.left -= work
        if self.left < 0:
            raise GrammarError(
                f"{self._source}: the grammar is too large or too ambiguous to be compiled\n"
                "Look for long rows of optional parts, of which any may follow any other, and "
                "for high repetition counts within one another."
            )

"""The states of long texts, in one byte of memory each: every state has one successor.

The tables of a grammar's machines continue with the states of its texts, which are
never written out. Ten thousand long names therefore cost only their length.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar, overload

__all__ = ["Chains"]

Entry = TypeVar("Entry")

_Moves = dict[int, tuple[int, ...]]
_Calls = tuple[tuple[int, tuple[int, ...]], ...]


class Chains:
    """The states of ``texts``, which are strings of byte classes.

    Each text has a state before every byte and one at its end. States are numbered from
    ``first`` on.
    """

    def __init__(self, first: int, texts: tuple[bytes, ...]) -> None:
        self._first = first
        self._texts = texts
        sizes = accumulate((len(text) + 1 for text in texts), initial=first)
        *self._starts, self._end = sizes

    @property
    def starts(self) -> tuple[int, ...]:
        """The first state of each text."""
        return tuple(self._starts)

    def moves(self, table: tuple[_Moves, ...]) -> Sequence[_Moves]:
        """``table``, followed by the moves of the texts."""
        return _Continued(table, self._end, self._move) if self._texts else table

    def calls(self, table: tuple[_Calls, ...]) -> Sequence[_Calls]:
        """``table``, followed by the calls of the texts: they have none."""
        return _Continued(table, self._end, lambda _: ()) if self._texts else table

    def ends(self, table: tuple[bool, ...]) -> Sequence[bool]:
        """``table``, followed by whether the rule may or must end: only at the end of a text."""
        if not self._texts:
            return table
        return _Continued(table, self._end, lambda state: not self._move(state))

    def _move(self, state: int) -> _Moves:
        number = bisect_right(self._starts, state) - 1
        place = state - self._starts[number]
        text = self._texts[number]
        return {text[place]: (state + 1,)} if place < len(text) else {}


class _Continued(Sequence[Entry], Generic[Entry]):
    """A tuple, followed by entries that are made when they are first read."""

    __slots__ = ("_length", "_made", "_table")

    def __init__(self, table: tuple[Entry, ...], length: int, made: Callable[[int], Entry]) -> None:
        self._table = table
        self._length = length
        self._made = made

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Entry: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Entry]: ...

    def __getitem__(self, index: int | slice) -> Entry | Sequence[Entry]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(self._length))]
        if index < len(self._table):
            return self._table[index]
        if index >= self._length:
            raise IndexError(index)
        return self._made(index)

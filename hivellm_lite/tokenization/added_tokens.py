"""Finds the tokens that are not subject to merging: control tokens and added words.

The leftmost token wins, and the longest of several that begin at the same place, as in the
``tokenizers`` library. The work is proportional to the length of the text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

__all__ = ["AddedTokens"]


class AddedTokens:
    """Finds the keys of ``ids`` (text → token) in texts."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids = {text: token for text, token in ids.items() if text}
        self._texts = {token: text for text, token in self._ids.items()}
        lengths: defaultdict[str, set[int]] = defaultdict(set)
        for text in self._ids:
            lengths[text[0]].add(len(text))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        firsts = "".join(map(re.escape, self._lengths))
        self._first = re.compile(f"[{firsts}]") if firsts else None

    def id_of(self, text: str) -> int | None:
        """The token with exactly this text; None if there is none."""
        return self._ids.get(text)

    def text_of(self, token: int) -> str:
        """The text of an added token. Raises KeyError for any other token."""
        return self._texts[token]

    def split(self, text: str) -> Iterator[str | int]:
        """Tokens and the texts around them, in order; no part is empty."""
        begin, place = 0, self._next(text, 0)
        while place is not None:
            for length in self._lengths[text[place]]:
                token = self._ids.get(text[place : place + length])
                if token is not None:
                    if begin < place:
                        yield text[begin:place]
                    yield token
                    begin = place + length
                    break
            place = self._next(text, max(begin, place + 1))
        if begin < len(text):
            yield text[begin:]

    def _next(self, text: str, begin: int) -> int | None:
        """The next place where a token may begin."""
        match = self._first.search(text, begin) if self._first is not None else None
        return match.start() if match else None

    def inside(self, alphabet: Iterable[str]) -> tuple[str, ...]:
        """The texts that use only characters of ``alphabet``, and not only ASCII."""
        known = frozenset(alphabet)
        return tuple(t for t in self._ids if not t.isascii() and known.issuperset(t))

"""Cutting an answer where its stop sequences say, while it streams.

Two kinds of stop sequences:

*Literal* ones (given by the caller, or the end tags of a prompt template) cut
at their first occurrence and are removed.

*Balanced* ones come from manifests, where lists like ``["}", ");", "```"]``
are usual. Taken literally, ``"}"`` would cut every JSON answer at its first
brace. So an occurrence counts only where the answer's brackets and quotes are
balanced: if they are before it, the stop is removed; if they are only with it
(``"}"`` closes the outermost object), it ends the answer and belongs to it;
otherwise it is ordinary text. White space before the answer never stops it.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["StopScanner"]

_CLOSING = {")": "(", "]": "[", "}": "{"}


class _Balance:
    """Open brackets and quotes of the text so far.

    A single quote opens a string only where no letter or digit stands before
    it, so that an apostrophe does not. A closing bracket without its opening
    one is ignored.
    """

    __slots__ = ("escaped", "open", "previous", "quote")

    def __init__(self) -> None:
        self.open: tuple[str, ...] = ()
        self.quote = ""
        self.escaped = False
        self.previous = ""

    def copy(self) -> _Balance:
        twin = _Balance()
        twin.open, twin.quote = self.open, self.quote
        twin.escaped, twin.previous = self.escaped, self.previous
        return twin

    def feed(self, text: str) -> _Balance:
        for char in text:
            if self.escaped:
                self.escaped = False
            elif self.quote:
                if char == "\\":
                    self.escaped = True
                elif char == self.quote:
                    self.quote = ""
            elif char == '"' or (char == "'" and not self.previous.isalnum()):
                self.quote = char
            elif char in "([{":
                self.open += (char,)
            elif char in _CLOSING and self.open and self.open[-1] == _CLOSING[char]:
                self.open = self.open[:-1]
            self.previous = char
        return self

    @property
    def even(self) -> bool:
        return not self.open and not self.quote


class StopScanner:
    """Feed text with `push`, take what is safe to show; call `finish` at the end.

    A text that may be the beginning of a stop sequence is held back until it
    is decided.
    """

    def __init__(self, *, literal: Iterable[str] = (), balanced: Iterable[str] = ()) -> None:
        kinds = {stop: False for stop in balanced if stop} | {s: True for s in literal if s}
        self._stops = sorted(kinds.items(), key=lambda item: -len(item[0]))
        self._pending = ""
        self._balance = _Balance()
        self._begun = False
        self.stopped_by: str | None = None

    def push(self, text: str) -> str:
        """Add text; returns what can be shown now. Empty once a stop was found."""
        return self._scan(text, final=False)

    def finish(self) -> str:
        """The text that was held back, after the last `push`."""
        return self._scan("", final=True)

    def _scan(self, text: str, *, final: bool) -> str:
        if self.stopped_by is not None:
            return ""
        pending = self._pending + text
        place = 0
        while place < len(pending):
            rest = pending[place:]
            if not final and any(len(rest) < len(s) and s.startswith(rest) for s, _ in self._stops):
                break
            for stop, literal in self._stops:
                if rest.startswith(stop) and (kept := self._kept(stop, literal)) is not None:
                    self.stopped_by = stop
                    self._pending = ""
                    return pending[:place] + kept
            self._balance.feed(rest[0])
            self._begun = self._begun or not rest[0].isspace()
            place += 1
        self._pending = pending[place:]
        return pending[:place]

    def _kept(self, stop: str, literal: bool) -> str | None:
        """What stays of a stop sequence that ends the answer here; None if it does not."""
        if literal:
            return ""
        if not self._begun and stop.isspace():
            return None
        if self._balance.even:
            return ""
        return stop if self._balance.copy().feed(stop).even else None

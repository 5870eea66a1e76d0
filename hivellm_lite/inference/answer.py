"""From the bytes of tokens to the text of an answer.

bytes ─► characters ─► thought │ answer ─► stop sequences ─► text

Characters are never cut: a character whose last bytes never came, because the answer ended
inside it, is left out. Bytes that no character can begin or continue with show as U+FFFD. The
thought (``<think>…</think>``) is kept apart. Stop sequences count in the answer alone.
"""

from __future__ import annotations

import codecs

from .stops import StopScanner

__all__ = ["THOUGHT_BEGIN", "THOUGHT_END", "AnswerText", "ThoughtSplitter"]

THOUGHT_BEGIN, THOUGHT_END = "<think>", "</think>"
"""What thinking models write around a thought."""


class ThoughtSplitter:
    """Separates a thought at the beginning of a text from the answer after it.

    ``push`` returns the part of the text that certainly belongs to the answer; ``thought``
    collects the rest. White space around the thought belongs to neither. With
    ``in_thought`` the text begins inside a thought, after ``<think>``.
    """

    def __init__(self, *, in_thought: bool = False) -> None:
        self._stage = "thought" if in_thought else "start"
        self._pending = ""
        self._thought: list[str] = []

    @property
    def in_thought(self) -> bool:
        """Whether the last text belongs to a thought, or to the white space after it."""
        return self._stage in ("thought", "gap")

    @property
    def thought(self) -> str:
        """The thought so far, without the white space around it."""
        return "".join(self._thought).strip()

    def push(self, text: str) -> str:
        if self._stage == "answer":
            return text
        self._pending += text
        if self._stage == "start":
            begun = self._pending.lstrip()
            if THOUGHT_BEGIN.startswith(begun[: len(THOUGHT_BEGIN)]) and len(begun) < len(
                THOUGHT_BEGIN
            ):
                return ""
            if not begun.startswith(THOUGHT_BEGIN):
                return self._answer(self._pending)
            self._stage, self._pending = "thought", begun[len(THOUGHT_BEGIN) :]
        if self._stage == "thought":
            thought, close, rest = self._pending.partition(THOUGHT_END)
            if not close:
                held = len(THOUGHT_END) - 1
                self._thought.append(self._pending[:-held])
                self._pending = self._pending[-held:]
                return ""
            self._thought.append(thought)
            self._stage, self._pending = "gap", rest
        rest = self._pending.lstrip()
        self._pending = ""
        return self._answer(rest) if rest else ""

    def finish(self) -> str:
        """What was held back: a text that only looked like a thought, or the thought's end."""
        if self._stage == "thought":
            self._thought.append(self._pending)
            self._pending = ""
            return ""
        return self._answer(self._pending)

    def _answer(self, text: str) -> str:
        self._stage, self._pending = "answer", ""
        return text


class AnswerText:
    """The text of one answer, built from token bytes.

    ``push`` and ``finish`` return what can be shown; ``text`` is all of it.
    """

    def __init__(self, stops: StopScanner, *, in_thought: bool = False) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._splitter = ThoughtSplitter(in_thought=in_thought)
        self._stops = stops
        self._shown: list[str] = []

    def push(self, data: bytes) -> str:
        return self._show(self._stops.push(self._splitter.push(self._decoder.decode(data))))

    def finish(self) -> str:
        """Everything that was held back, once no more bytes come."""
        # The decoder is not told that this is the end: it would show the beginning of a
        # character as U+FFFD, which the model did not write and a grammar may forbid.
        shown = self._stops.push(self._splitter.finish())
        return self._show(shown + self._stops.finish())

    def _show(self, text: str) -> str:
        if text:
            self._shown.append(text)
        return text

    @property
    def stopped_by(self) -> str | None:
        """The stop sequence that ended the answer, or None."""
        return self._stops.stopped_by

    @property
    def in_thought(self) -> bool:
        """Whether the last bytes belong to a thought, or to the white space after it."""
        return self._splitter.in_thought

    @property
    def text(self) -> str:
        return "".join(self._shown)

    @property
    def thinking(self) -> str:
        return self._splitter.thought

"""Reads calls back from an answer, whole or as it comes.

The grammar has made sure of the form, so nothing is guessed here. An answer that was cut off may
end inside a call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from .grammar import CALL_END, OPEN_TAG

__all__ = ["Arguments", "Began", "Call", "CallReader", "Said", "Told", "read_answer"]


@dataclass(frozen=True)
class Said:
    """A piece of the text before the calls."""

    text: str


@dataclass(frozen=True)
class Began:
    """The call ``index`` begins."""

    index: int
    name: str


@dataclass(frozen=True)
class Arguments:
    """A piece of the arguments of the call ``index``, as JSON text."""

    index: int
    text: str


Told = Said | Began | Arguments

_HEAD = re.compile(r'\n\{"name": "([^"]*)", "arguments": ')


class CallReader:
    """Takes pieces of an answer; tells what each of them means, as early as it is certain."""

    def __init__(self) -> None:
        self._stage = "text"
        self._pending = ""
        self._n_calls = 0
        self._depth = 0
        self._in_string = self._escaped = False
        self._stages = {
            "text": self._text,
            "head": self._head,
            "arguments": self._arguments,
            "end": self._end,
        }

    @property
    def n_calls(self) -> int:
        """The calls that have begun."""
        return self._n_calls

    @property
    def in_arguments(self) -> bool:
        """Whether the arguments of the last call have not ended."""
        return self._stage == "arguments"

    def push(self, text: str) -> Iterator[Told]:
        """What another piece of the answer tells."""
        self._pending += text
        stage = ""
        while stage != self._stage:
            stage = self._stage
            yield from self._stages[stage]()

    def finish(self) -> Iterator[Told]:
        """What was held back, once no more comes."""
        if self._stage == "text" and self._pending and not self._n_calls:
            yield Said(self._pending)
        self._pending = ""

    def _text(self) -> Iterator[Told]:
        before, tag, after = self._pending.partition(OPEN_TAG)
        if tag:
            self._stage, self._pending = "head", after
            said = before.rstrip()
        else:
            end = _certain(self._pending)
            said, self._pending = self._pending[:end], self._pending[end:]
        if said and not self._n_calls:
            yield Said(said)

    def _head(self) -> Iterator[Told]:
        found = _HEAD.match(self._pending)
        if found is not None:
            self._stage, self._pending = "arguments", self._pending[found.end() :]
            self._n_calls += 1
            yield Began(self._n_calls - 1, found[1])

    def _arguments(self) -> Iterator[Told]:
        end = self._end_of_object()
        if text := self._pending[:end]:
            self._pending = self._pending[end:]
            yield Arguments(self._n_calls - 1, text)

    def _end_of_object(self) -> int:
        """How much of what is pending belongs to the arguments, which are one object."""
        for place, char in enumerate(self._pending):
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                self._escaped = char == "\\"
                self._in_string = char != '"'
            elif char == '"':
                self._in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self._stage = "end"
                    return place + 1
        return len(self._pending)

    def _end(self) -> Iterator[Told]:
        if len(self._pending) >= len(CALL_END):
            self._stage, self._pending = "text", self._pending[len(CALL_END) :]
        yield from ()


def _certain(text: str) -> int:
    """How much of a text is none of a call: white space at its end may stand before one, and so
    may the beginning of the tag.
    """
    begin = text.rfind(OPEN_TAG[0], max(0, len(text) - len(OPEN_TAG)))
    if begin >= 0 and OPEN_TAG.startswith(text[begin:]):
        text = text[:begin]
    return len(text.rstrip())


@dataclass
class Call:
    """One call of a whole answer. ``arguments``: JSON text, the beginning of one if the call is
    not ``whole``.
    """

    name: str
    arguments: str = ""
    whole: bool = True


@dataclass
class _Answer:
    text: str = ""
    calls: list[Call] = field(default_factory=list)


def read_answer(answer: str) -> tuple[str, list[Call]]:
    """The text before the calls, and the calls."""
    reader, found = CallReader(), _Answer()
    for told in (*reader.push(answer), *reader.finish()):
        if isinstance(told, Said):
            found.text += told.text
        elif isinstance(told, Began):
            found.calls.append(Call(told.name))
        else:
            found.calls[told.index].arguments += told.text
    if reader.in_arguments:
        found.calls[-1].whole = False
    return found.text, found.calls

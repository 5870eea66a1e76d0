"""The parts of a GBNF grammar, as an immutable tree.

A grammar describes a set of texts over Unicode code points. Every node is hashable and compares by
value, so a tree can be a key of a dict. ``parser.py`` reads a tree from text, ``printer.py`` writes
one.

Source: ``grammars/README.md`` and ``src/llama-grammar.cpp`` of llama.cpp.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = [
    "EMPTY",
    "MAX_CODE_POINT",
    "Alternation",
    "CharClass",
    "Grammar",
    "Literal",
    "Node",
    "Repeat",
    "RuleRef",
    "Sequence",
]

MAX_CODE_POINT = 0x10FFFF


@dataclass(frozen=True, slots=True)
class Literal:
    """``"text"``: exactly these characters. The text may be empty."""

    text: str


@dataclass(frozen=True, slots=True)
class CharClass:
    r"""``[a-z_]``, ``[^"\\]`` or ``.``: one character.

    ``ranges`` are pairs of code points (first, last), both included. They are sorted and neither
    overlap nor touch. ``.`` is the negation of no range.
    """

    ranges: tuple[tuple[int, int], ...]
    negated: bool = False

    @property
    def positive(self) -> tuple[tuple[int, int], ...]:
        """The ranges of the characters that match, without surrogates."""
        found = []
        if self.negated:
            start = 0
            for first, last in (*self.ranges, (MAX_CODE_POINT + 1, 0)):
                if start < first:
                    found.append((start, first - 1))
                start = last + 1
        else:
            found = list(self.ranges)
        whole = []
        for first, last in found:
            if first < 0xD800:
                whole.append((first, min(last, 0xD7FF)))
            if last > 0xDFFF:
                whole.append((max(first, 0xE000), last))
        return tuple(whole)

    def matches(self, char: str) -> bool:
        code = ord(char)
        return any(first <= code <= last for first, last in self.ranges) != self.negated


@dataclass(frozen=True, slots=True)
class RuleRef:
    """The name of a rule, which stands for the texts of this rule."""

    name: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """The items one after another. The empty sequence is the empty text."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alternation:
    """``a | b``: one of the options, of which there is at least one."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``x{minimum,maximum}``, with ``*``, ``+`` and ``?`` as usual. None means no upper bound."""

    item: Node
    minimum: int
    maximum: int | None


Node = Literal | CharClass | RuleRef | Sequence | Alternation | Repeat

EMPTY = Sequence(())
"""The empty text."""


@dataclass(frozen=True)
class Grammar:
    """Rules by name, in the order of the file, and ``root``, the name of the rule to begin with.

    ``source`` names the file, or another origin, in messages. ``lines`` holds the line of each
    rule, counted from 1, for a grammar that was read from text. Two grammars that differ only in
    these are equal.

    The methods import the modules that read, write, rewrite and judge grammars when they are
    called. Those modules are built on this class. A second class on top of them would remove
    this circle, but grammars of the two classes would never compare equal, and every function
    that returns a grammar would have to convert it for the user.
    """

    rules: Mapping[str, Node]
    root: str = "root"
    source: str = field(default="<grammar>", compare=False)
    lines: Mapping[str, int] = field(default_factory=dict, compare=False)

    @classmethod
    def parse(cls, text: str, *, root: str = "root", source: str = "<grammar>") -> Grammar:
        """Read GBNF text. Raises GrammarError, which names the line and the column."""
        from .parser import parse_grammar

        return parse_grammar(text, source=source, root=root)

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str], *, root: str = "root") -> Grammar:
        """A grammar of this library, by its name, or the grammar in a file, by its path.

        ``root`` is the rule to begin with: ``Grammar.load("iso", root="date")``. Raises
        GrammarError for an unknown name, an unreadable file, and text that is not a grammar.
        """
        from .library import load_grammar

        return load_grammar(name_or_path, root=root)

    def repaired(self) -> Grammar:
        """A grammar with the same language, without left recursion and other obstacles to using it.

        Raises GrammarError if this is not possible.
        """
        from .repair import repair_grammar

        return repair_grammar(self).grammar

    def accepts(self, text: str) -> bool:
        """Whether ``text`` is a whole text of this grammar."""
        from .earley import recognise

        return recognise(self, text)

    def __str__(self) -> str:
        """The grammar as GBNF text in the form that llama.cpp reads."""
        from .printer import print_grammar

        return print_grammar(self)

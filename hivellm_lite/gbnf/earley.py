"""An Earley recogniser: whether a text is a sentence of a grammar, for any grammar at all.

The recogniser reads a grammar's tree unchanged: left recursion, rules with the empty text, cycles
and ambiguity need no repair first. It can therefore judge the rewriting and the automata, and
shares no code with them.

An *item* consists of a place in a rule, as a number (see ``continuations.py``), and of the position
in the text where the rule began.

Sources: J. Earley, *An efficient context-free parsing algorithm* (1970);
J. Aycock and R. N. Horspool, *Practical Earley parsing* (2002) for rules
with the empty text; J. Leo, *A general context-free parsing algorithm running in
linear time on every LR(k) grammar* (1991) for right recursion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import GrammarError
from .continuations import Continuations
from .printer import print_node
from .syntax import CharClass, Grammar, Literal

__all__ = [
    "END_OF_TEXT",
    "MAX_STEPS",
    "Recogniser",
    "Recognition",
    "explain",
    "recognise",
    "valid_prefix",
]

MAX_STEPS = 20_000_000
"""Steps from item to item for one text: about ten seconds."""

END_OF_TEXT = "the end of the text"

_Item = tuple[int, int]


@dataclass(frozen=True)
class Recognition:
    """The result for a text.

    ``position`` is the number of its first characters with which some sentence begins; at most
    the length of the text. ``expected`` lists what could have followed there, in the notation of
    grammars, or `END_OF_TEXT`.
    """

    accepted: bool
    position: int
    expected: tuple[str, ...]


class Recogniser:
    """A grammar that is ready to judge texts. It keeps its continuations from text to text.

    Raises `GrammarError` if a rule is missing, if a text needs more than `MAX_STEPS`, and if the
    grammar needs more than `continuations.MAX_CONTINUATIONS`.
    """

    def __init__(self, grammar: Grammar) -> None:
        self._continuations = Continuations(grammar)

    def recognise(self, text: str) -> bool:
        """Whether ``text`` is a sentence of the grammar."""
        return self.explain(text).accepted

    def valid_prefix(self, text: str) -> bool:
        """Whether some sentence begins with ``text``."""
        found = self.explain(text)
        return found.position == len(text) and bool(found.expected)

    def explain(self, text: str) -> Recognition:
        """Whether ``text`` is a sentence, and if not, how much of it could begin one."""
        if not self._continuations.has_sentences:
            return Recognition(accepted=False, position=0, expected=())
        run = _Run(self._continuations)
        for position, char in enumerate(text):
            if not run.advance(char):
                return Recognition(False, position, self._expected(run))
        return Recognition(run.complete, len(text), self._expected(run))

    def _expected(self, run: _Run) -> tuple[str, ...]:
        shown = dict.fromkeys(_shown(node, done) for node, done, _ in run.awaited)
        return (*shown, END_OF_TEXT) if run.complete else tuple(shown)


class _Run:
    """The items of one text, up to the last character that was read."""

    def __init__(self, continuations: Continuations) -> None:
        self._continuations = continuations
        self._steps = 0
        # For each position, the items that wait there for the end of each rule.
        self._waiting: list[dict[str, list[_Item]]] = []
        self._shortcuts: dict[tuple[int, str], _Item | None] = {}
        self._read([(continuations.begin(None), 0)])

    def advance(self, char: str) -> bool:
        """Read one character. Returns False and changes nothing if it cannot follow."""
        moved = [
            (after, origin)
            for (node, done, after), origins in self._awaited.items()
            if _matches(node, done, char)
            for origin in origins
        ]
        if moved:
            self._read(moved)
        return bool(moved)

    @property
    def awaited(self) -> Iterable[tuple[Literal | CharClass, int, int]]:
        return self._awaited

    def _read(self, items: Iterable[_Item]) -> None:
        """Predict and complete until this position has no new items."""
        here = len(self._waiting)
        waiting: dict[str, list[_Item]] = {}
        self._waiting.append(waiting)
        self._awaited: dict[tuple[Literal | CharClass, int, int], list[int]] = defaultdict(list)
        self.complete = False
        found = set(items)
        pending = list(found)
        while pending:
            continuation, origin = pending.pop()
            moves = self._continuations.moves(continuation)
            following: list[_Item] = []
            for move in moves.chars:
                self._awaited[move].append(origin)
            for rule, after in moves.calls:
                if rule not in waiting:
                    waiting[rule] = []
                    following.append((self._continuations.begin(rule), here))
                waiting[rule].append((after, origin))
                if self._continuations.is_nullable(rule):
                    following.append((after, origin))
            if moves.ends:
                rule_done = self._continuations.rule_of(continuation)
                if rule_done is None:
                    self.complete = True
                elif origin < here:
                    following += self._callers(rule_done, origin)
            self._count(len(moves.chars) + len(moves.calls) + len(following))
            for item in following:
                if item not in found:
                    found.add(item)
                    pending.append(item)

    def _callers(self, rule: str, origin: int) -> list[_Item]:
        """The items that continue when ``rule``, begun at ``origin``, is complete."""
        shortcut = self._shortcut(rule, origin)
        return self._waiting[origin][rule] if shortcut is None else [shortcut]

    def _shortcut(self, rule: str, origin: int) -> _Item | None:
        """Leo's transitive item: the last of a chain of callers that have nothing left to do.

        A chain never forms a circle. The first call of any of its rules at a position came from
        outside the chain, so that rule has two callers there.
        """
        chain: list[tuple[int, str]] = []
        last: _Item | None = None
        while True:
            key = (origin, rule)
            if key in self._shortcuts:
                last = self._shortcuts[key] or last
                break
            chain.append(key)
            callers = self._waiting[origin][rule]
            caller = callers[0]
            moves = self._continuations.moves(caller[0])
            if len(callers) > 1 or moves.chars or moves.calls:
                self._shortcuts[key] = None
                chain.pop()
                break
            last = caller
            above = self._continuations.rule_of(caller[0])
            if above is None:
                break
            rule, origin = above, caller[1]
        for key in chain:
            self._shortcuts[key] = last
        return last

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise GrammarError(
                f"{self._continuations.source}: too ambiguous to recognise a text of more than"
                f" {len(self._waiting) - 1} characters like this one"
                "\nTry a shorter text, or give the grammar fewer ways to say the same."
            )


def recognise(grammar: Grammar, text: str) -> bool:
    """Whether ``text`` is a sentence of ``grammar``. Raises the errors of `Recogniser`."""
    return Recogniser(grammar).recognise(text)


def valid_prefix(grammar: Grammar, text: str) -> bool:
    """Whether some sentence of ``grammar`` begins with ``text``. Raises as `Recogniser` does."""
    return Recogniser(grammar).valid_prefix(text)


def explain(grammar: Grammar, text: str) -> Recognition:
    """The answer of `recognise`, and how much of ``text`` fits. Raises as `Recogniser` does."""
    return Recogniser(grammar).explain(text)


def _matches(node: Literal | CharClass, done: int, char: str) -> bool:
    if isinstance(node, Literal):
        return node.text[done] == char
    return node.matches(char) and not 0xD800 <= ord(char) <= 0xDFFF


def _shown(node: Literal | CharClass, done: int) -> str:
    """A class, or the rest of a literal, in the notation of grammars."""
    return print_node(Literal(node.text[done:]) if isinstance(node, Literal) else node)

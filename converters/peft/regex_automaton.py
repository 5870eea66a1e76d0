r"""``re.match`` without backtracking, for untrusted regular expressions.

Python's own engine tries one way after another, and an expression does not show how long that
takes: ``(.|[\w.]){25}!`` takes hours. This automaton follows all ways at once, one character at a
time (Thompson 1968). Python's own parser reads the expression, and Python's own engine judges
single characters and places, so flags, classes and word boundaries are exactly Python's::

    automaton = Automaton.compile(r"(.*\.)?(layers\.[0-3]\..*)$", Budget(1_000_000))
    automaton.matches("model.layers.2.mlp.up_proj")  # True

Constructs that have to remember the way taken (back-references, conditions, atomic groups,
possessive quantifiers) are refused by name.
"""

from __future__ import annotations

import importlib
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Automaton", "Budget", "UnsuitablePattern"]

MAX_TEXT = 256
"""Characters of the longest text. Higher counts equal no limit: see `_Builder.repeat`."""

MAX_STATES = 10_000
"""States of an automaton, which writes out counted repetitions."""

_PARSING_COST = 200
"""The cost of parsing, in visited states."""

_NEW = sys.version_info >= (3, 11)
_parser: Any = importlib.import_module("re._parser" if _NEW else "sre_parse")
_compiler: Any = importlib.import_module("re._compiler" if _NEW else "sre_compile")

_REFUSED = {
    "GROUPREF": "a back-reference",
    "GROUPREF_EXISTS": "a condition on a group",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive quantifier",
}

_Test = Callable[[str, int], bool]


class UnsuitablePattern(ValueError):
    """The expression is malformed, too large, or needs more than an automaton.

    The message continues after the expression: "has a back-reference …".
    """


class Budget:
    """The states that matching a whole set of expressions may visit."""

    def __init__(self, n_states: int) -> None:
        self._left = n_states

    def spend(self, n_states: int) -> None:
        """Count ``n_states`` more. Raises UnsuitablePattern beyond the budget."""
        self._left -= n_states
        if self._left < 0:
            raise UnsuitablePattern("takes too long to match")


@dataclass
class _State:
    """One place in the expression.

    With ``consumes`` the next character must pass ``test``; otherwise the position in the text
    must. ``following`` are the next places; the end has none.
    """

    test: _Test | None
    consumes: bool
    following: list[int] = field(default_factory=list)


class Automaton:
    """A compiled expression. It remembers steps, so only one thread may use it."""

    def __init__(self, states: list[_State], start: int, budget: Budget, *, is_local: bool) -> None:
        self._states = states
        self._start = start
        self._budget = budget
        # If only a character and its neighbours decide, steps can be remembered.
        self._is_local = is_local
        self._steps: dict[tuple[frozenset[int], str, str], tuple[bool, frozenset[int]]] = {}

    @classmethod
    def compile(cls, pattern: str, budget: Budget) -> Automaton:
        """The automaton of ``pattern``. Raises UnsuitablePattern if it cannot have one."""
        budget.spend(_PARSING_COST)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = _parser.parse(pattern)
            builder = _Builder(budget)
            start = builder.sequence(tree, tree.state.flags, builder.add(None, False, []))
        except RecursionError:
            raise UnsuitablePattern("is nested too deeply") from None
        except (re.error, OverflowError) as error:
            raise UnsuitablePattern(f"is malformed: {error}") from None
        return cls(builder.states, start, budget, is_local=builder.is_local)

    def matches(self, text: str) -> bool:
        """Whether ``re.match`` would find a match in ``text``. Raises UnsuitablePattern."""
        if len(text) > MAX_TEXT:
            raise UnsuitablePattern(f"is matched with a text of over {MAX_TEXT} characters")
        self._budget.spend(1 + len(text) // 8)
        return _run(self._states, self._start, text, 0, None, self._budget, self._memory(text))

    def _memory(self, text: str) -> dict[Any, Any] | None:
        # Before a last line end "$" looks two characters ahead.
        return self._steps if self._is_local and "\n" not in text else None


def _run(
    states: list[_State],
    start: int,
    text: str,
    position: int,
    end: int | None,
    budget: Budget,
    memory: dict[Any, Any] | None = None,
) -> bool:
    """Whether some way from ``start`` at ``position`` reaches the end of the expression.

    It has to get there exactly at ``end``, or anywhere if ``end`` is None.
    """
    seeds = frozenset([start])
    previous = text[position - 1] if position else ""
    while True:
        character = text[position] if position < len(text) else ""
        key = (seeds, previous, character)
        known = memory.get(key) if memory is not None else None
        if known is None:
            known = _step(states, seeds, text, position, budget)
            if memory is not None:
                memory[key] = known
        accepted, following = known
        if accepted and end in (None, position):
            return True
        if not following or position == end:
            return False
        seeds, previous, position = following, character, position + 1


def _step(
    states: list[_State], seeds: frozenset[int], text: str, position: int, budget: Budget
) -> tuple[bool, frozenset[int]]:
    """Whether the expression may end at ``position``, and the places after the next character."""
    accepted = False
    following: set[int] = set()
    seen = set(seeds)
    waiting = list(seeds)
    while waiting:
        state = states[waiting.pop()]
        if state.consumes:
            if position < len(text) and state.test is not None and state.test(text, position):
                following.update(state.following)
        elif state.test is None or state.test(text, position):
            accepted = accepted or not state.following
            new = [place for place in state.following if place not in seen]
            seen.update(new)
            waiting += new
    budget.spend(len(seen))
    return accepted, frozenset(following)


class _Builder:
    """Turns Python's parse tree into states, from its end to its beginning."""

    def __init__(self, budget: Budget) -> None:
        self.states: list[_State] = []
        self.is_local = True
        self._budget = budget
        self._tests: dict[str, _Test] = {}

    def add(self, test: _Test | None, consumes: bool, following: list[int]) -> int:
        if len(self.states) >= MAX_STATES:
            raise UnsuitablePattern("has too many repetitions")
        self.states.append(_State(test, consumes, following))
        return len(self.states) - 1

    def sequence(self, nodes: Sequence[tuple[Any, Any]], flags: int, end: int) -> int:
        """The first state of ``nodes`` in a row, followed by ``end``."""
        for node in reversed(list(nodes)):
            end = self._node(node, flags, end)
        return end

    def _node(self, node: tuple[Any, Any], flags: int, end: int) -> int:
        kind, value = str(node[0]), node[1]
        if kind in _REFUSED:
            raise UnsuitablePattern(f"has {_REFUSED[kind]}, which is not supported")
        if kind == "SUBPATTERN":
            _, added, removed, inside = value
            return self.sequence(inside, _with_flags(flags, added, removed), end)
        if kind == "BRANCH":
            starts = [self.sequence(branch, flags, end) for branch in value[1]]
            return self.add(None, False, starts)
        if kind in ("MAX_REPEAT", "MIN_REPEAT"):
            least, most, inside = value
            limit = None if most == _parser.MAXREPEAT else int(most)
            return self.repeat(int(least), limit, inside, flags, end)
        if kind in ("ASSERT", "ASSERT_NOT"):
            return self._look(kind == "ASSERT", value[0] < 0, value[1], flags, end)
        if kind == "FAILURE":
            return self.add(lambda _text, _position: False, False, [end])
        return self.add(self._judged_by_re(node, flags), kind != "AT", [end])

    def repeat(
        self, least: int, most: int | None, inside: Sequence[Any], flags: int, end: int
    ) -> int:
        """``inside`` from ``least`` to ``most`` times.

        If there are more repetitions than characters in the text, some are empty. An empty one
        can be left out or repeated, so counts beyond `MAX_TEXT` make no difference.
        """
        least = min(least, MAX_TEXT + 1)
        if most is None or most > MAX_TEXT:
            end = self.add(None, False, [end])
            self.states[end].following.append(self.sequence(inside, flags, end))
        else:
            last = end
            for _ in range(most - least):
                end = self.add(None, False, [self.sequence(inside, flags, end), last])
        for _ in range(least):
            end = self.sequence(inside, flags, end)
        return end

    def _look(self, wanted: bool, behind: bool, inside: Any, flags: int, end: int) -> int:
        """A look-ahead or look-behind: a separate run from each position."""
        self.is_local = False
        first = self.sequence(inside, flags, self.add(None, False, []))
        states, budget = self.states, self._budget
        width = int(inside.getwidth()[0]) if behind else 0

        def test(text: str, position: int) -> bool:
            start = position - width
            stop = position if behind else None
            return (start >= 0 and _run(states, first, text, start, stop, budget)) == wanted

        return self.add(test, False, [end])

    def _judged_by_re(self, node: tuple[Any, Any], flags: int) -> _Test:
        """A test of a character or a position: Python's expression of this node, which cannot
        backtrack.
        """
        key = f"{node} {flags}"
        if key not in self._tests:
            alone = _parser.SubPattern(_parser.State(), [node])
            match = _compiler.compile(alone, flags).match
            self._tests[key] = lambda text, position: match(text, position) is not None
        return self._tests[key]


def _with_flags(flags: int, added: int, removed: int) -> int:
    types = int(re.ASCII | re.LOCALE | re.UNICODE)
    if added & types:
        flags &= ~types
    return (flags | added) & ~removed

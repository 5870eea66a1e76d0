"""Enforcing a grammar byte by byte: exact, and never exponential.

A configuration is a set of (state, frame): everything that the grammar allows
after the text so far. A frame is a set of (state to return to, frame of the
caller). All callers that wait for the same rule, begun at the same place, share
one frame, so a text of n bytes has at most n frames for each rule, however
ambiguous the grammar is. A call that ends its caller hands over the caller's
frame, so right recursion does not deepen the stack.

Configurations and frames with the same content are the same object. A transition
is therefore computed once and looked up afterwards, such as for the elements of a
list or the characters of a string. A new transition costs the calls that the
grammar opens there, independent of the depth of nesting.

Threads may share automata: a cached value depends on its key alone, so any thread
may write it, even twice.

Source: M. Tomita, "An Efficient Augmented-Context-Free Parsing Algorithm" (1987),
for the shared stacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush

from ..errors import GrammarError
from .automata.rule_automata import ACCEPT, RuleAutomata, build_rule_automata
from .automata.rule_calls import LeftRecursionError
from .rewriting.left_recursion import remove_left_recursion
from .syntax import Grammar

__all__ = ["Automaton", "Configuration", "compile_grammar"]

MAX_CACHED_ITEMS = 500_000
"""Items in all cached configurations and frames, about 100 MB. Full caches are emptied."""

MAX_RETURNS = 100_000
"""Returns to callers at one byte, about 0.01 s. An unambiguous text has one for each level of
nesting that may end at the byte. Only thousands of levels that begin and end in every way come
near."""

MAX_FORCED_BYTES = 512
"""Bytes of `Configuration.forced`: longer than a token, and a limit for endless texts."""


def compile_grammar(grammar: Grammar) -> Automaton:
    """The automaton of a grammar. Left recursion is removed first.

    Raises `GrammarError` for a rule that does not exist, for a grammar without any text, and for
    a grammar that is too large.
    """
    try:
        automata = build_rule_automata(grammar)
    except LeftRecursionError:
        automata = build_rule_automata(remove_left_recursion(grammar))
    return Automaton(automata)


class _Frame:
    """The places where the callers of a rule continue. Frames with equal content are one object."""

    __slots__ = ("items",)

    def __init__(self, items: _Items) -> None:
        self.items = items


_Item = tuple[int, _Frame]
"""(state, frame of the rule that the state belongs to)."""

_Items = frozenset[_Item]

_ACCEPTED: _Item = (ACCEPT, _Frame(frozenset()))


class Automaton:
    """The transitions between a grammar's configurations, computed when a text needs them."""

    def __init__(self, automata: RuleAutomata, *, max_cached_items: int = MAX_CACHED_ITEMS) -> None:
        self._automata = automata
        self._max_cached_items = max_cached_items
        self._n_cached_items = 0
        self._frames: dict[_Items, _Frame] = {}
        self._configurations: dict[_Items, Configuration] = {}
        outside = _Frame(frozenset({_ACCEPTED}))
        self.start = Configuration(self, frozenset({(automata.root, outside)}))
        """The configuration before the first byte."""

    @property
    def byte_classes(self) -> bytes:
        """The number of each byte's class. The grammar treats all bytes of a class alike."""
        return self._automata.byte_classes

    @property
    def n_byte_classes(self) -> int:
        return len(self._automata.class_members)

    @property
    def n_cached_items(self) -> int:
        """The number of cached items, which ``max_cached_items`` limits."""
        return self._n_cached_items

    def accepts(self, data: bytes) -> bool:
        """Whether ``data`` is a whole text of the grammar, in UTF-8."""
        configuration = self.start.advance(data)
        return configuration is not None and configuration.accepting

    def _configuration(self, kernel: _Items) -> Configuration:
        known = self._configurations.get(kernel)
        if known is None:
            self._make_room(len(kernel))
            known = self._configurations.setdefault(kernel, Configuration(self, kernel))
        return known

    def _frame(self, returns: Iterable[_Item]) -> _Frame:
        last = self._automata.last
        items: set[_Item] = set()
        for item in returns:
            if last[item[0]]:
                items |= item[1].items
            else:
                items.add(item)
        key = frozenset(items)
        known = self._frames.get(key)
        if known is None:
            self._make_room(len(key))
            known = self._frames.setdefault(key, _Frame(key))
        return known

    def _make_room(self, n_items: int) -> None:
        """Count ``n_items`` that are about to be cached, and empty the caches if they are full.

        Configurations in use stay valid. They keep their own content and lose only the cached
        transitions.
        """
        self._n_cached_items += n_items + 1
        if self._n_cached_items > self._max_cached_items:
            for configuration in (self.start, *list(self._configurations.values())):
                configuration._forget()
            self._configurations.clear()
            self._frames.clear()
            self._n_cached_items = 0


class Configuration:
    """The state of a grammar after some text. It is immutable and compared by identity."""

    __slots__ = ("_kernel", "_opened", "_targets", "accepting", "automaton")

    def __init__(self, automaton: Automaton, kernel: _Items) -> None:
        self.automaton = automaton
        self._kernel = _returned(kernel, automaton._automata.final)
        self.accepting = _ACCEPTED in self._kernel
        """Whether the text so far is a whole text of the grammar."""
        self._opened: tuple[_Item, ...] | None = None
        self._targets: list[Configuration | None] = [None] * automaton.n_byte_classes

    def advance(self, data: bytes) -> Configuration | None:
        """The configuration after these bytes; None if no text of the grammar continues so.

        Raises `GrammarError` if the grammar is too ambiguous for a text of this length.
        """
        configuration = self
        for byte_class in data.translate(self.automaton.byte_classes):
            # A configuration without items has one successor for every byte: itself.
            configuration = configuration._targets[byte_class] or configuration._follow(byte_class)
        return configuration if configuration._kernel else None

    def advance_class(self, byte_class: int) -> Configuration | None:
        """Advance by any byte of this class, as `advance` does."""
        configuration = self._targets[byte_class] or self._follow(byte_class)
        return configuration if configuration._kernel else None

    @property
    def next_bytes(self) -> frozenset[int]:
        """The bytes that may come next. After each of them a whole text is possible."""
        members = self.automaton._automata.class_members
        return frozenset(byte for number in self._next_classes() for byte in members[number])

    @property
    def finished(self) -> bool:
        """Whether the text is complete and nothing may follow."""
        return self.accepting and not self._next_classes()

    def forced(self) -> bytes:
        """The next bytes, as long as there is only one choice, and at most `MAX_FORCED_BYTES`."""
        members = self.automaton._automata.class_members
        found = bytearray()
        configuration = self
        while not configuration.accepting and len(found) < MAX_FORCED_BYTES:
            classes = configuration._next_classes()
            if len(classes) != 1:
                break
            (byte_class,) = classes
            if len(members[byte_class]) != 1:
                break
            found += members[byte_class]
            configuration = configuration._targets[byte_class] or configuration._follow(byte_class)
        return bytes(found)

    def _next_classes(self) -> set[int]:
        moves = self.automaton._automata.moves
        return {byte_class for state, _ in self._items() for byte_class in moves[state]}

    def _follow(self, byte_class: int) -> Configuration:
        automata = self.automaton._automata
        moves, last = automata.moves, automata.last
        kernel: set[_Item] = set()
        for state, frame in self._items():
            for target in moves[state].get(byte_class, ()):
                if last[target]:
                    kernel |= frame.items
                else:
                    kernel.add((target, frame))
        found = self.automaton._configuration(frozenset(kernel))
        self._targets[byte_class] = found
        return found

    def _items(self) -> tuple[_Item, ...]:
        """The states that read the next byte, including the states of rules that begin here."""
        # Another thread may empty the cache between two reads.
        opened = self._opened
        if opened is None:
            opened = self._opened = self._open()
        return opened

    def _open(self) -> tuple[_Item, ...]:
        automata = self.automaton._automata
        moves, calls = automata.moves, automata.calls
        found = [item for item in self._kernel if moves[item[0]]]
        waiting: dict[int, set[_Item]] = {}
        order: list[int] = []

        def call(state: int, frame: _Frame) -> None:
            for rule, targets in calls[state]:
                if rule not in waiting:
                    waiting[rule] = set()
                    heappush(order, rule)
                waiting[rule].update((target, frame) for target in targets)

        for state, frame in self._kernel:
            call(state, frame)
        while order:
            # No waiting rule can begin with this rule, so its callers are complete.
            rule = heappop(order)
            frame = self.automaton._frame(waiting[rule])
            state = automata.first[rule]
            if moves[state]:
                found.append((state, frame))
            call(state, frame)
        return tuple(found)

    def _forget(self) -> None:
        self._opened = None
        self._targets = [None] * self.automaton.n_byte_classes


def _returned(kernel: _Items, final: Sequence[bool]) -> _Items:
    """``kernel`` with the states of the callers of each rule that may end."""
    seen = set(kernel)
    pending = list(kernel)
    n_returns = 0
    while pending:
        state, frame = pending.pop()
        if final[state]:
            n_returns += len(frame.items)
            if n_returns > MAX_RETURNS:
                raise GrammarError(
                    f"the grammar is too ambiguous: one byte ends rules in over {MAX_RETURNS:,} "
                    "ways\nLook for a rule that uses itself twice in one option, and write it as "
                    "a repetition."
                )
            new = frame.items - seen
            seen |= new
            pending += new
    return frozenset(seen)

"""The tree of a regular expression as a nondeterministic automaton over classes of characters.

Source: K. Thompson, "Regular Expression Search Algorithm" (1968), with an assertion on an empty
edge where the tree names one.
"""

from __future__ import annotations

from ...gbnf.rewriting.analysis import nodes
from ...gbnf.syntax import Alternation, CharClass, Literal, Node, Repeat, RuleRef, Sequence
from .characters import Ranges
from .pattern_parser import UnsupportedPattern

__all__ = ["MAX_NFA_STATES", "PatternNfa", "character_sets"]

MAX_NFA_STATES = 100_000


def character_sets(tree: Node) -> list[Ranges]:
    """The sets of characters that the tree names, single characters included."""
    found: list[Ranges] = []
    for node in nodes(tree):
        if isinstance(node, Literal):
            found += [((ord(char), ord(char)),) for char in node.text]
        elif isinstance(node, CharClass):
            found.append(node.positive)
    return found


class PatternNfa:
    """States and edges, both by the number of a state.

    ``moves[state]`` lists (classes of characters as bits, target). ``empty[state]`` lists (name of
    the assertion that must hold or None, target).
    """

    def __init__(self, classes: tuple[Ranges, ...]) -> None:
        self.moves: list[list[tuple[int, int]]] = []
        self.empty: list[list[tuple[str | None, int]]] = []
        self._classes = classes
        self._bits: dict[Ranges, int] = {}

    def add(self, node: Node, start: int) -> int:
        """Add states for a node after ``start``. Returns the state where its texts end."""
        if isinstance(node, Literal):
            for char in node.text:
                start = self._read(start, ((ord(char), ord(char)),))
            return start
        if isinstance(node, CharClass):
            return self._read(start, node.positive)
        if isinstance(node, RuleRef):
            end = self.state()
            self.empty[start].append((node.name, end))
            return end
        if isinstance(node, Sequence):
            for item in node.items:
                start = self.add(item, start)
            return start
        if isinstance(node, Alternation):
            end = self.state()
            for option in node.options:
                self.empty[self.add(option, self._after(start))].append((None, end))
            return end
        return self._repeated(node, start)

    def _repeated(self, node: Repeat, start: int) -> int:
        for _ in range(node.minimum):
            start = self.add(node.item, start)
        end = self.state()
        if node.maximum is None:
            loop = self._after(start)
            self.empty[self.add(node.item, loop)].append((None, loop))
            self.empty[loop].append((None, end))
            return end
        for _ in range(node.maximum - node.minimum):
            self.empty[start].append((None, end))
            start = self.add(node.item, start)
        self.empty[start].append((None, end))
        return end

    def _after(self, start: int) -> int:
        state = self.state()
        self.empty[start].append((None, state))
        return state

    def _read(self, start: int, ranges: Ranges) -> int:
        if ranges not in self._bits:
            self._bits[ranges] = sum(
                1 << number
                for number, part in enumerate(self._classes)
                if any(first <= part[0][0] <= last for first, last in ranges)
            )
        end = self.state()
        self.moves[start].append((self._bits[ranges], end))
        return end

    def state(self) -> int:
        if len(self.moves) >= MAX_NFA_STATES:
            raise UnsupportedPattern("the pattern has too many states")
        self.moves.append([])
        self.empty.append([])
        return len(self.moves) - 1

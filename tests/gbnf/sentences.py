"""Random sentences of a grammar, and near misses, to try grammars and their tools with.

The *cost* of a derivation is the number of its nodes: characters, rules,
sequences, rounds. It exceeds the length of the text even where rules stand for
nothing, so a bound on it bounds everything, cycles included.

Source: D. E. Knuth, *A generalization of Dijkstra's algorithm* (1977) for the
cheapest derivation of every node.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from random import Random

from hivellm_lite.errors import GrammarError
from hivellm_lite.gbnf.syntax import (
    Alternation,
    CharClass,
    Grammar,
    Literal,
    Node,
    Repeat,
    RuleRef,
    Sequence,
)

__all__ = ["MAX_COST", "SentenceGenerator", "generate", "mutate"]

MAX_COST = 1_000_000
"""Nodes in the derivation of one sentence; memory for as many characters at most."""

_ROUND_AGAIN = 0.7
"""Chance of one more round of a repetition: three or four rounds where they are cheap."""


class SentenceGenerator:
    """Sentences of one grammar; raises `GrammarError` if it has none short enough."""

    def __init__(self, grammar: Grammar) -> None:
        self._rules = grammar.rules
        self._start = RuleRef(grammar.root)
        self._costs = _cheapest(grammar, self._start)
        if self._costs.get(id(self._start), MAX_COST) >= MAX_COST:
            raise GrammarError(
                f"{grammar.source}: rule {grammar.root!r} describes no text of reasonable length"
                "\nCheck that every recursion has an option that ends it."
            )

    def generate(self, rng: Random, size: int = 100) -> str:
        """A random sentence whose derivation costs ``size`` at most, or the least there is."""
        spare = min(size, MAX_COST) - self._costs[id(self._start)]
        text: list[str] = []
        pending: list[Node] = [self._start]
        while pending:
            node = pending.pop()
            if isinstance(node, Literal):
                text.append(node.text)
            elif isinstance(node, CharClass):
                text.append(_character(node, rng))
            elif isinstance(node, RuleRef):
                pending.append(self._rules[node.name])
            elif isinstance(node, Sequence):
                pending.extend(reversed(node.items))
            elif isinstance(node, Alternation):
                cheapest = self._costs[id(node)] - 1
                dearer = {
                    place: cost - cheapest
                    for place, option in enumerate(node.options)
                    if (cost := self._costs.get(id(option))) is not None
                }
                allowed = [place for place, more in dearer.items() if more <= max(spare, 0)]
                chosen = rng.choice(allowed)
                spare -= dearer[chosen]
                pending.append(node.options[chosen])
            else:
                rounds = node.minimum
                cost = self._costs.get(id(node.item), MAX_COST)
                while rounds != node.maximum and cost <= spare and rng.random() < _ROUND_AGAIN:
                    rounds, spare = rounds + 1, spare - cost
                pending.extend([node.item] * rounds)
        return "".join(text)


def generate(grammar: Grammar, rng: Random, size: int = 100) -> str:
    """A random sentence of ``grammar``; see `SentenceGenerator`."""
    return SentenceGenerator(grammar).generate(rng, size)


def mutate(text: str, rng: Random) -> str:
    """``text`` with one small change somewhere: often no sentence any more, never far from one."""
    place = rng.randint(0, len(text))
    end = min(len(text), place + rng.choice((1, 1, 1, 2, 5)))
    char = rng.choice(text) if text and rng.random() < 0.7 else chr(rng.randint(0x20, 0x7E))
    changes = (
        text[:place] + text[end:],
        text[:place] + char + text[place:],
        text[:place] + char + text[end:],
        text[:place] + text[place:end] + text[place:],
        text[:place] + text[place:end][::-1] + text[end:],
        text[:place],
        text[place:],
    )
    return rng.choice(changes)


def _character(node: CharClass, rng: Random) -> str:
    """A character of a class: mostly one that can be read, sometimes an end of a range."""
    if rng.random() < 0.8:
        for code in rng.sample(range(0x20, 0x7F), 20):
            if node.matches(chr(code)):
                return chr(code)
    first, last = rng.choice(node.positive)
    return chr(rng.choice((first, last, rng.randint(first, last))))


def _cheapest(grammar: Grammar, start: RuleRef) -> dict[int, int]:
    """The cost of the cheapest derivation of every node that has one, by the node's id.

    Nodes come off the heap by rising cost; a node enters once enough of its parts
    came off, and never costs less than they do. Raises `GrammarError` for a
    reference to a rule that is not there.
    """
    costs: dict[int, int] = {}
    heap: list[tuple[int, int]] = []
    users: dict[int, list[Node]] = defaultdict(list)
    missing: dict[int, int] = {}
    pending: list[Node] = [start, *grammar.rules.values()]
    while pending:
        node = pending.pop()
        if id(node) in missing:
            continue
        parts: tuple[Node, ...] = ()
        if isinstance(node, Literal):
            heappush(heap, (1 + len(node.text), id(node)))
        elif isinstance(node, CharClass):
            if node.positive:
                heappush(heap, (1, id(node)))
        elif isinstance(node, RuleRef):
            parts = (_body(grammar, node),)
        elif isinstance(node, Sequence):
            parts = node.items
        elif isinstance(node, Alternation):
            parts = node.options
        else:
            parts = (node.item,)
        if isinstance(node, Sequence | Repeat) and not (parts and _least(node)):
            heappush(heap, (1, id(node)))
        missing[id(node)] = len(parts) if isinstance(node, Sequence) else 1
        for part in parts:
            users[id(part)].append(node)
        pending.extend(parts)
    while heap:
        cost, number = heappop(heap)
        if number in costs:
            continue
        costs[number] = cost
        for user in users[number]:
            missing[id(user)] -= 1
            if missing[id(user)] == 0:
                parts = user.items if isinstance(user, Sequence) else ()
                total = sum(costs[id(part)] for part in parts) if parts else cost * _least(user)
                heappush(heap, (min(1 + total, MAX_COST), id(user)))
    return costs


def _least(node: Node) -> int:
    return node.minimum if isinstance(node, Repeat) else 1


def _body(grammar: Grammar, reference: RuleRef) -> Node:
    if reference.name not in grammar.rules:
        raise GrammarError(
            f"{grammar.source}: there is no rule {reference.name!r}, though the grammar needs it"
            "\nDefine it, or correct the name where it is used."
        )
    return grammar.rules[reference.name]

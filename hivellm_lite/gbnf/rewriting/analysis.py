"""Computes properties of a grammar's rules: which can be empty, and which begin with which.

These functions change no grammar and accept any. A rule that is named but missing counts as a rule
without any text. Walks over rules use lists instead of recursion, so any number of rules will do.
The work is linear in the size of the grammar unless a function says otherwise.

Source: the definitions in J. E. Hopcroft and J. D. Ullman, *Introduction to
Automata Theory, Languages, and Computation* (1979), chapter 4; R. Tarjan,
*Depth-first search and linear graph algorithms* (1972) for the circles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TypeVar

from ..build import parts
from ..syntax import Alternation, CharClass, Grammar, Literal, Node, Repeat, RuleRef, Sequence

__all__ = [
    "Graph",
    "circles",
    "is_nullable",
    "left_corner_graph",
    "left_corners",
    "nodes",
    "nullable_rules",
    "productive_rules",
    "reachable_rules",
    "references",
    "shortest_circle",
    "unit_graph",
]

T = TypeVar("T")

Graph = Mapping[str, Mapping[str, T]]
"""For each rule, the rules that it leads to, in order, each with a fact about the way there."""


def nodes(node: Node) -> Iterator[Node]:
    """The node and everything in it, repeated parts included, in the order of the text."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(parts(node)))


def references(node: Node) -> dict[str, None]:
    """The names of rules in a node, each once, in order."""
    return {part.name: None for part in nodes(node) if isinstance(part, RuleRef)}


def reachable_rules(grammar: Grammar) -> frozenset[str]:
    """The root and all rules that it leads to."""
    found = {grammar.root} & grammar.rules.keys()
    waiting = list(found)
    while waiting:
        for name in references(grammar.rules[waiting.pop()]):
            if name not in found and name in grammar.rules:
                found.add(name)
                waiting.append(name)
    return frozenset(found)


def nullable_rules(grammar: Grammar) -> frozenset[str]:
    """The rules whose texts include the empty text."""
    return _deriving(grammar, lambda leaf: isinstance(leaf, Literal) and not leaf.text)


def productive_rules(grammar: Grammar) -> frozenset[str]:
    """The rules that have any text at all."""
    return _deriving(grammar, lambda leaf: isinstance(leaf, Literal) or bool(leaf.positive))


def is_nullable(node: Node, nullable: AbstractSet[str]) -> bool:
    """Whether a node's texts include the empty text, as those of the ``nullable`` rules do."""
    if isinstance(node, RuleRef):
        return node.name in nullable
    if isinstance(node, Sequence):
        return all(is_nullable(item, nullable) for item in node.items)
    if isinstance(node, Alternation):
        return any(is_nullable(option, nullable) for option in node.options)
    if isinstance(node, Repeat):
        return node.minimum == 0 or is_nullable(node.item, nullable)
    return isinstance(node, Literal) and not node.text


def left_corners(node: Node, nullable: AbstractSet[str]) -> dict[str, Node | None]:
    """The rules that a node can begin with, each with the first node that is skipped before it.

    The skipped node has to be empty. It is None if nothing is skipped.
    """
    found: dict[str, Node | None] = {}
    waiting: list[tuple[Node, Node | None]] = [(node, None)]
    while waiting:
        node, passed = waiting.pop()
        if isinstance(node, RuleRef):
            if found.setdefault(node.name, passed) is not None and passed is None:
                found[node.name] = None
        elif isinstance(node, Sequence):
            ahead = []
            for item in node.items:
                ahead.append((item, passed))
                if not is_nullable(item, nullable):
                    break
                passed = passed or item
            waiting.extend(reversed(ahead))
        else:
            waiting.extend((part, passed) for part in reversed(parts(node)))
    return found


def left_corner_graph(grammar: Grammar) -> dict[str, dict[str, Node | None]]:
    """The `left_corners` of every rule that are rules of the grammar."""
    nullable = nullable_rules(grammar)
    return {
        name: {
            rule: passed
            for rule, passed in left_corners(body, nullable).items()
            if rule in grammar.rules
        }
        for name, body in grammar.rules.items()
    }


def unit_graph(grammar: Grammar) -> dict[str, dict[str, None]]:
    """For each rule, the rules that it may consist of if all its other parts are empty."""
    nullable = nullable_rules(grammar)
    graph: dict[str, dict[str, None]] = {}
    for name, body in grammar.rules.items():
        found: dict[str, None] = {}
        waiting = [body]
        while waiting:
            node = waiting.pop()
            if isinstance(node, RuleRef):
                found[node.name] = None
            elif isinstance(node, Sequence):
                full = [item for item in node.items if not is_nullable(item, nullable)]
                if not full:
                    waiting.extend(node.items)
                elif len(full) == 1:
                    waiting.extend(full)
            elif isinstance(node, Alternation):
                waiting.extend(node.options)
            elif isinstance(node, Repeat) and (
                node.minimum <= 1 or is_nullable(node.item, nullable)
            ):
                waiting.append(node.item)
        graph[name] = {rule: None for rule in found if rule in grammar.rules}
    return graph


def circles(graph: Graph[T]) -> list[tuple[str, ...]]:
    """The sets of rules that all lead to one another. A rule that leads to itself is such a set.

    Rules come in the order of the graph, and sets in the order of their first rules.
    """
    order = {name: place for place, name in enumerate(graph)}
    entered: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_rules: list[str] = []
    is_open: set[str] = set()
    found: list[tuple[str, ...]] = []
    for start in graph:
        if start in entered:
            continue
        path = [(start, iter(graph[start]))]
        entered[start] = lowest[start] = len(entered)
        open_rules.append(start)
        is_open.add(start)
        while path:
            name, ahead = path[-1]
            for following in ahead:
                if following not in entered:
                    entered[following] = lowest[following] = len(entered)
                    open_rules.append(following)
                    is_open.add(following)
                    path.append((following, iter(graph[following])))
                    break
                if following in is_open:
                    lowest[name] = min(lowest[name], entered[following])
            else:
                path.pop()
                if path:
                    above = path[-1][0]
                    lowest[above] = min(lowest[above], lowest[name])
                if lowest[name] == entered[name]:
                    members = [open_rules.pop()]
                    while members[-1] != name:
                        members.append(open_rules.pop())
                    is_open.difference_update(members)
                    if len(members) > 1 or name in graph[name]:
                        found.append(tuple(sorted(members, key=order.__getitem__)))
    return sorted(found, key=lambda members: order[members[0]])


def shortest_circle(graph: Graph[T], start: str) -> tuple[str, ...]:
    """The shortest circle through a rule, which stands at both ends; empty if there is none."""
    before: dict[str, str] = {}
    waiting = [start]
    for name in waiting:
        for following in graph[name]:
            if following == start:
                way = [start, name]
                while way[-1] != start:
                    way.append(before[way[-1]])
                return tuple(reversed(way))
            if following not in before:
                before[following] = name
                waiting.append(following)
    return ()


def _deriving(grammar: Grammar, is_text: Callable[[Literal | CharClass], bool]) -> frozenset[str]:
    """The rules that have a text made only of leaves for which ``is_text`` holds.

    Every node waits for some of its parts. A part that is found leaves the lists of all nodes
    that wait for it, so the function visits each part once.
    """
    # Equal nodes can stand at several places, so nodes get numbers, in the order of the visit.
    waits_for: list[int] = []
    users: defaultdict[int | str, list[int]] = defaultdict(list)
    rule_at: dict[int, str] = {}
    found: list[int] = []
    for name, body in grammar.rules.items():
        rule_at[len(waits_for)] = name
        ahead: list[tuple[Node, int]] = [(body, -1)]
        while ahead:
            node, user = ahead.pop()
            number = len(waits_for)
            if user >= 0:
                users[number].append(user)
            if isinstance(node, Literal | CharClass):
                waits_for.append(0 if is_text(node) else 1)
            elif isinstance(node, RuleRef):
                users[node.name].append(number)
                waits_for.append(1)
            elif isinstance(node, Repeat):
                waits_for.append(1 if node.minimum else 0)
            else:
                waits_for.append(len(node.items) if isinstance(node, Sequence) else 1)
            if not waits_for[number]:
                found.append(number)
            ahead.extend((part, number) for part in reversed(parts(node)))
    deriving: set[str] = set()
    for number in found:
        woken = users[number]
        if number in rule_at:
            deriving.add(rule_at[number])
            woken = woken + users[rule_at[number]]
        for user in woken:
            waits_for[user] -= 1
            if waits_for[user] == 0:
                found.append(user)
    return frozenset(deriving)

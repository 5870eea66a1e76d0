"""Joins the common parts of alternatives, and turns recursion that only loops into repetition.

llama.cpp follows every alternative that is still possible on its own stack. With ``members ::=
member | member "," members`` it reads each member twice, each object in a member four times, and
so on. ``member ("," member)*`` avoids this. A rewritten node keeps its texts, whatever its rules
match.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Sequence as Seq

from ..build import alternation, char_class, optional, repeat, sequence
from ..limits import MAX_DEPTH
from ..syntax import EMPTY, Alternation, CharClass, Literal, Node, Repeat, RuleRef, Sequence
from .bounds import depth

__all__ = [
    "choice",
    "factored",
    "items_of",
    "last_rules",
    "loop",
    "looped",
    "options_of",
    "split_end",
]

_Items = tuple[Node, ...]

MAX_LEVELS = 16
"""Levels of nested joins of beginnings."""


def factored(node: Node) -> Node:
    """The node with common beginnings of alternatives joined, unless that makes it too deep."""
    made = _factored(node)
    return made if depth(made) <= MAX_DEPTH else node


def looped(name: str, body: Node, spend: Callable[[int], None]) -> Node:
    """The body of a rule, with repetition in place of its calls of itself at its very end.

    Let ``u`` be the part before such a call and ``r`` the other options. A = uA | r has the texts
    of u* r (Arden's lemma). If all ``u`` and some ``r`` begin alike, u = xs and r = xq | z, this
    is x (sx)* (q | sz) | z, in which the next character decides. The rule must not begin with
    itself.
    """
    if name not in last_rules(body):
        return body
    begins, others = split_end(options_of(body), name, {}, spend)
    if not others:
        return body
    common = begins[0]
    for items in begins:
        common = common[: _alike(common, items)]
    common = common[: max(_alike(common, items) for items in others)]
    if not common:
        return sequence(loop([sequence(*items) for items in begins]), _choice_of(others))
    size = len(common)
    between = [items[size:] for items in begins]
    alike = [items[size:] for items in others if items[:size] == common]
    unlike = [items for items in others if items[:size] != common]
    again = loop([sequence(_choice_of(between), *common)])
    end = [sequence(*items) for items in alike]
    if unlike:
        end.append(sequence(_choice_of(between), _choice_of(unlike)))
    first = sequence(*common, again)
    if between == [()]:
        first = repeat(sequence(*common), 1, None)
    return choice([sequence(first, choice(end)), *(sequence(*items) for items in unlike)])


def split_end(
    options: Seq[Node],
    name: str,
    bodies: Mapping[str, Node],
    spend: Callable[[int], None],
) -> tuple[list[_Items], list[_Items]]:
    """The items before rule ``name`` in the options that end with it, and the other options.

    Groups, optional parts and rules in ``bodies`` that can end with the rule are split, too. No
    rule in ``bodies`` may end with itself. ``spend`` is called with the number of copied nodes.
    """
    before: list[_Items] = []
    rest: list[_Items] = []
    ends = {name, *bodies}
    waiting: list[tuple[_Items, Node]] = [((), option) for option in reversed(options)]
    while waiting:
        ahead, node = waiting.pop()
        items = items_of(node)
        spend(1 + len(ahead) + len(items))
        if not items or not last_rules(node) & ends:
            rest.append(ahead + items)
            continue
        ahead, last = ahead + items[:-1], items[-1]
        if last == RuleRef(name):
            before.append(ahead)
        elif isinstance(last, RuleRef):
            waiting.append((ahead, bodies[last.name]))
        else:
            if isinstance(last, Repeat):
                waiting.append((ahead, EMPTY))
            inner = last.item if isinstance(last, Repeat) else last
            waiting.extend((ahead, option) for option in reversed(options_of(inner)))
    return before, rest


def last_rules(node: Node) -> set[str]:
    """The rules that a node can end with, if only optional parts are skipped."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, RuleRef):
            found.add(node.name)
        elif isinstance(node, Repeat) and (node.minimum, node.maximum) == (0, 1):
            waiting.append(node.item)
        elif isinstance(node, Sequence | Alternation):
            waiting.extend(node.items[-1:] if isinstance(node, Sequence) else node.options)
    return found


def loop(options: Seq[Node]) -> Node:
    """Any of the options, any number of times. Single characters become one class."""
    ranges: list[tuple[int, int]] = []
    others: list[Node] = []
    singles = 0
    for option in options:
        if isinstance(option, Literal) and len(option.text) == 1:
            ranges.append((ord(option.text), ord(option.text)))
            singles += 1
        elif isinstance(option, CharClass):
            ranges.extend(option.positive)
            singles += 1
        else:
            others.append(option)
    if singles > 1:
        return repeat(choice([char_class(ranges), *others]))
    return repeat(choice(options))


def choice(options: Seq[Node]) -> Node:
    """One of the options, without duplicates. The empty text among them makes it optional."""
    different = dict.fromkeys(part for option in options for part in options_of(option))
    if EMPTY not in different:
        return alternation(*different)
    del different[EMPTY]
    return optional(alternation(*different)) if different else EMPTY


def options_of(node: Node) -> _Items:
    return node.options if isinstance(node, Alternation) else (node,)


def items_of(node: Node) -> _Items:
    return node.items if isinstance(node, Sequence) else (node,)


def _choice_of(options: Seq[_Items]) -> Node:
    return choice([sequence(*items) for items in options])


def _alike(left: _Items, right: _Items) -> int:
    """The number of items with which both sequences begin."""
    size = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        size += 1
    return size


def _factored(node: Node) -> Node:
    if isinstance(node, Sequence):
        return sequence(*[_factored(item) for item in node.items])
    if isinstance(node, Repeat):
        return repeat(_factored(node.item), node.minimum, node.maximum)
    if isinstance(node, Alternation):
        options = list(dict.fromkeys(items_of(_factored(option)) for option in node.options))
        joined = _joined(options, MAX_LEVELS)
        if len(joined) == len(node.options):
            return alternation(*[sequence(*items) for items in options])
        return _choice_of(joined)
    return node


def _joined(options: Seq[_Items], levels: int) -> list[_Items]:
    """The options, with those joined that begin with the same long item."""
    groups: dict[Node, list[_Items]] = {}
    for items in options:
        groups.setdefault(items[0] if items else EMPTY, []).append(items)
    made: list[_Items] = []
    for group in groups.values():
        size = len(group[0])
        for items in group:
            size = min(size, _alike(group[0], items))
        common, rests = group[0][:size], [items[size:] for items in group]
        within = _joined(rests, levels - 1) if len(group) > 1 and size and levels else rests
        if len(group) == 1 or not (len(within) < len(rests) or any(map(_is_long, common))):
            made += group
        else:
            made.append(items_of(sequence(*common, _joined_at_end(within))))
    return made


def _joined_at_end(options: Seq[_Items]) -> Node:
    """A choice of the options, with their common end joined."""
    reversed_options = [items[::-1] for items in dict.fromkeys(options)]
    size = min(_alike(reversed_options[0], items) for items in reversed_options)
    common = reversed_options[0][:size][::-1]
    if len(reversed_options) == 1 or not any(map(_is_long, common)):
        return _choice_of(options)
    return sequence(_choice_of([items[: len(items) - size] for items in options]), *common)


def _is_long(node: Node) -> bool:
    """Whether reading this twice costs more than a few characters."""
    return not isinstance(node, Literal | CharClass)

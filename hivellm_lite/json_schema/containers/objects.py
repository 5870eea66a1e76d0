"""Writes objects: listed keys in order, optional ones included or not, then other keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from ...gbnf.build import NOTHING, alternation, literal, optional, repeat, sequence
from ...gbnf.syntax import EMPTY, Node, RuleRef
from ..problems import Problems
from ..rules import RuleBook
from ..shapes import FALSE, Handle, Object
from .extra_keys import ExtraKeys

__all__ = ["ObjectWriter"]


@dataclass(frozen=True)
class _Member:
    """A listed key with its value."""

    node: Node
    required: bool


class ObjectWriter:
    """Writes objects. ``written`` returns the rule of a handle."""

    def __init__(
        self,
        rules: RuleBook,
        written: Callable[[Handle], Node],
        extra_keys: ExtraKeys,
        problems: Problems,
    ) -> None:
        self._rules = rules
        self._written = written
        self._extra_keys = extra_keys
        self._problems = problems

    def node(self, shape: Object, wanted: str) -> Node:
        """All objects of the shape; `NOTHING` if there are none."""
        if shape == Object():
            return self._rules.shared("object")
        colon, gap = self._rules.layout.colon, self._rules.layout.gap
        listed = self._extra_keys.listed(shape)
        if listed is None:
            return NOTHING
        members = [
            _Member(
                sequence(
                    literal(json.dumps(name, ensure_ascii=False)), colon, self._written(handle)
                ),
                name in shape.required,
            )
            for name, handle in listed.items()
            if FALSE not in handle or name in shape.required
        ]
        pairs = [
            sequence(key, colon, self._written(handle))
            for key, handle in self._extra_keys.others(shape, listed, wanted)
        ]
        extra = alternation(*pairs) if pairs else None
        if extra is not None and not isinstance(extra, RuleRef):
            extra = self._rules.add(f"{wanted}-extra", extra)
        body = self._members(shape, members, extra, wanted)
        return sequence(literal("{"), gap, body, literal("}"))

    def _members(
        self, shape: Object, members: list[_Member], extra: Node | None, wanted: str
    ) -> Node:
        """The text between the braces."""
        most_certain = len(members) + (extra is not None)
        wanted_minimum = shape.minimum
        if extra is not None and wanted_minimum > most_certain:
            self._problems.add(
                "minProperties",
                shape.pointer,
                f"a grammar cannot require different unlisted keys, so {most_certain} distinct "
                "keys are the most that it can require",
            )
            wanted_minimum = most_certain
        certain = sum(member.required for member in members)
        possible = len(members) if extra is None else None
        maximum = shape.maximum
        if maximum is not None and possible is not None and possible <= maximum:
            maximum = None
        minimum = 0 if wanted_minimum <= certain else wanted_minimum
        if maximum is None and minimum <= 1:
            return self._uncounted(members, extra, wanted, may_be_empty=minimum == 0)
        return self._counted(members, extra, wanted, minimum, maximum)

    def _uncounted(
        self, members: list[_Member], extra: Node | None, wanted: str, *, may_be_empty: bool
    ) -> Node:
        """One option for each key that may come first. Each later key has a comma before it."""
        comma, gap = self._rules.layout.comma, self._rules.layout.gap
        tail = EMPTY if extra is None else repeat(sequence(comma, extra))
        leading = next((i for i, m in enumerate(members) if m.required), len(members))
        options: list[Node] = []
        if leading == len(members):
            options += [EMPTY] if may_be_empty else []
            options += [] if extra is None else [sequence(extra, tail, gap)]
        for index in range(len(members) - 1, -1, -1):
            member = members[index]
            if index <= leading:
                options.append(sequence(member.node, tail, gap))
            following = sequence(comma, member.node)
            tail = sequence(following if member.required else optional(following), tail)
            # Several options share what follows. Without a rule for that, their total size
            # would grow with the square of their number.
            if 0 < index <= leading:
                tail = self._rules.add(f"{wanted}-{index + 1}", tail)
        return alternation(*reversed(options)) if options else NOTHING

    def _counted(
        self,
        members: list[_Member],
        extra: Node | None,
        wanted: str,
        minimum: int,
        maximum: int | None,
    ) -> Node:
        """A rule for each key and each number of keys before it.

        A model may repeat an unlisted key, which then counts once. So any number of unlisted
        keys is only sure to add one.
        """
        comma, gap = self._rules.layout.comma, self._rules.layout.gap
        most = len(members) if maximum is None else min(maximum, len(members))
        tails = [self._extras(extra, count, minimum, maximum) for count in range(most + 1)]
        for index in range(len(members) - 1, -1, -1):
            member = members[index]
            following: list[Node] = []
            for count in range(min(index, most) + 1):
                options: list[Node] = []
                if count < most:
                    separator = comma if count else EMPTY
                    options.append(sequence(separator, member.node, tails[count + 1]))
                if not member.required:
                    options.append(tails[count])
                body = alternation(*options) if options else NOTHING
                rule = self._rules.add(f"{wanted}-{index + 1}-{count}", body) if index else body
                following.append(rule)
            tails = following
        return sequence(tails[0], gap)

    def _extras(self, extra: Node | None, count: int, minimum: int, maximum: int | None) -> Node:
        """The unlisted keys after ``count`` listed keys."""
        if extra is None:
            return EMPTY if count >= minimum else NOTHING
        fewest = max(0, minimum - count)
        most = None if maximum is None else maximum - count
        if fewest > 1 or (most is not None and most < fewest):
            return NOTHING
        following = sequence(self._rules.layout.comma, extra)
        if count:
            return self._rules.counted("extra", following, fewest, most)
        if most == 0:
            return EMPTY
        rest = None if most is None else most - 1
        some = sequence(extra, self._rules.counted("extra", following, 0, rest))
        return some if fewest else optional(some)

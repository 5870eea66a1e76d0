"""Makes nodes that lack the empty text.

``ws`` in front of a recursion hides it, and ``(ws)*`` can loop for ever without reading anything.
To repair both, the rewriting has to separate white space that exists from white space that is
empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from ..build import alternation, repeat, sequence
from ..syntax import EMPTY, Alternation, CharClass, Literal, Node, Repeat, RuleRef, Sequence
from .analysis import is_nullable
from .bounds import Allowance

__all__ = ["NonEmpty"]


class NonEmpty:
    """Makes nodes that lack the empty text, and rules for nodes that need a name.

    The grammar must come from `trimmed`, so that every rule has a text other than the empty one.
    ``new_name(rule, ending)`` must return a name that no rule has. `names` holds the new rules,
    and `missing_rules` makes their bodies.
    """

    def __init__(
        self,
        rules: Mapping[str, Node],
        nullable: AbstractSet[str],
        new_name: Callable[[str, str], str],
        allowance: Allowance,
    ) -> None:
        self.names: dict[str, str] = {}
        self.nullable = nullable
        self._rules = rules
        self._new_name = new_name
        self._allowance = allowance

    def name(self, rule: str) -> str:
        """The rule for all texts of ``rule`` but the empty text; maybe ``rule`` itself."""
        if rule not in self.nullable:
            return rule
        if rule not in self.names:
            self.names[rule] = self._new_name(rule, "nonempty")
        return self.names[rule]

    def node(self, node: Node, rule: str) -> Node | None:
        """The node, which stands in ``rule``, without the empty text; None if nothing is left."""
        if isinstance(node, RuleRef):
            return RuleRef(self.name(node.name))
        if isinstance(node, Literal | CharClass) or not is_nullable(node, self.nullable):
            return node
        made: list[Node | None] = []
        if isinstance(node, Alternation):
            made = [self.node(option, rule) for option in node.options]
        elif isinstance(node, Sequence):
            # One option for each item that may be the first non-empty one, with all later items.
            for place, item in enumerate(node.items):
                self._allowance.spend(len(node.items) - place, rule)
                first = self.node(item, rule)
                made.append(first and sequence(first, *node.items[place + 1 :]))
        else:
            full = self.node(node.item, rule)
            return full and repeat(full, 1, node.maximum)
        options = [option for option in made if option is not None]
        return alternation(*options) if options else None

    def star_options(self, node: Node, rule: str) -> list[Node]:
        """Nodes without the empty text that ``node*`` repeats: ``x`` and ``y`` of ``(x* y?)*``."""
        if isinstance(node, Alternation):
            return [o for option in node.options for o in self.star_options(option, rule)]
        if isinstance(node, Repeat) and node.minimum <= 1:
            return self.star_options(node.item, rule)
        if isinstance(node, Sequence) and is_nullable(node, self.nullable):
            return [option for item in node.items for option in self.star_options(item, rule)]
        made = self.node(node, rule)
        return [] if made is None else [made]

    def missing_rules(self, *, except_for: AbstractSet[str] = frozenset()) -> dict[str, Node]:
        """The bodies of the rules in `names`, by the name of the rule that they come from."""
        bodies: dict[str, Node] = {}
        while waiting := [
            rule for rule in self.names if rule not in bodies and rule not in except_for
        ]:
            for rule in waiting:
                bodies[rule] = self.node(self._rules[rule], rule) or EMPTY
        return bodies

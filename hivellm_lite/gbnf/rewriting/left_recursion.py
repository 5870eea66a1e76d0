"""Rewrites rules that begin with themselves as repetition.

A parser that reads from left to right cannot enter ``sum ::= sum "+" n | n``: it would enter the
rule again before it reads anything. ``sum ::= n ("+" n)*`` has the same texts.

1. Rules that begin with one another form a circle. Each of them, less the empty
   text (``nonempty.py``), is A = Σ B a_AB | b_A: the rules B of the circle that
   it can begin with, each with what comes after, and the options that begin with
   none of them. Rules that may be empty in front of a B are split into empty and
   not, so that nothing hides a recursion.
2. One rule after another is taken out of these equations: A = A t | s has the
   texts of s t* (Arden's lemma), and this is put in place of A wherever another
   rule of the circle still begins with it. Each rule is left with beginnings of
   rules that are taken out later. So none begins with itself.
3. Where A = p t*, an option of t that ends with A may as well end with p: t* and
   t* t* are the same texts, and what follows p is read by the outer t*. Hence with
   t = uA | r and t' = up | r, t'* has the texts of t*: every text of t' is one of t,
   and one of uA = upt* is one of up and then ones of t, which are shorter. Likewise,
   if p = vA | r, then A = vA t* | r t* = vA | r t* has the texts of v* r t*, so p may
   as well be v* r. That makes ``e ::= e op e | "-" e | n`` flat:
   ``e ::= p (op p)*`` with ``p ::= "-"* n``.

Sources: D. N. Arden, *Delayed logic and finite state machines* (1961); the order
of step 2 is that of J. A. Brzozowski and E. J. McCluskey, *Signal flow graph
techniques for sequential circuit state diagrams* (1963), there for automata.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ...errors import GrammarError
from ..build import optional, repeat, sequence
from ..syntax import EMPTY, Alternation, CharClass, Grammar, Literal, Node, RuleRef, Sequence
from .analysis import circles, is_nullable, left_corner_graph, left_corners, nodes, nullable_rules
from .bounds import Allowance, depth
from .factoring import choice, factored, items_of, last_rules, loop, options_of, split_end
from .new_rules import NewRules
from .nonempty import NonEmpty
from .trimming import trimmed

__all__ = ["remove_left_recursion"]

MAX_CIRCLE = 500
"""Rules that begin with one another. Published grammars have up to five."""

LARGE = 12
"""Nodes of a part from which on it gets a name instead of being written twice."""

DEEP = 4
"""Levels of parentheses from which on a part gets a name instead of becoming deeper."""

MAX_RULES_SEEN_THROUGH = 32
"""Rules ending with a rule that step 3 takes into account."""


def remove_left_recursion(grammar: Grammar) -> Grammar:
    """The same language without rules that begin with themselves, hidden or not.

    Raises `GrammarError` if the grammar has no texts or lacks a rule, and if the rules would grow
    beyond ``limits.py``.
    """
    grammar = trimmed(grammar)
    recursive = circles(left_corner_graph(grammar))
    return _Rewriting(grammar, recursive).result() if recursive else grammar


@dataclass(slots=True)
class _Equation:
    """``heads[B]`` is what follows a B with which the rule begins, ``others`` the other options."""

    heads: dict[str, list[Node]] = field(default_factory=dict)
    others: list[Node] = field(default_factory=list)


class _Rewriting:
    """The state of one rewriting. The names of new rules say where they come from."""

    def __init__(self, grammar: Grammar, recursive: list[tuple[str, ...]]) -> None:
        self._grammar = grammar
        self._recursive = recursive
        self._members = {name for circle in recursive for name in circle}
        self._nullable = nullable_rules(grammar)
        self._allowance = Allowance(grammar.source, "left recursion")
        self._new = NewRules(grammar)
        self._rules: dict[str, Node] = {}
        self._users_at_end: dict[str, list[str]] = {}
        for name, body in grammar.rules.items():
            for last in last_rules(body):
                self._users_at_end.setdefault(last, []).append(name)
        self._nonempty = NonEmpty(grammar.rules, self._nullable, self._new.name, self._allowance)

    def result(self) -> Grammar:
        for circle in self._recursive:
            self._solve(circle)
        for rule, body in self._nonempty.missing_rules(except_for=self._members).items():
            self._rules[self._nonempty.name(rule)] = body
        return self._new.placed(self._rules)

    def _solve(self, circle: tuple[str, ...]) -> None:
        if len(circle) > MAX_CIRCLE:
            raise GrammarError(
                f"{self._grammar.source}: {len(circle)} rules begin with one another, rule"
                f" {circle[0]!r} among them; {MAX_CIRCLE} are the limit"
                "\nWrite them with repetition ('*') in place of the recursion."
            )
        members = frozenset(circle)
        equations = {name: _Equation() for name in circle}
        for name, equation in equations.items():
            self._expose(self._grammar.rules[name], EMPTY, members, equation, name)
        while equations:
            name = _next(equations)
            self._take_out(name, equations)

    def _expose(
        self, node: Node, rest: Node, members: frozenset[str], equation: _Equation, rule: str
    ) -> None:
        """Add to an equation the texts of ``node rest`` in which the node is not empty."""
        self._allowance.spend(1 + len(items_of(rest)), rule)
        begins = left_corners(node, self._nullable)
        if isinstance(node, Literal | CharClass) or not begins.keys() & members:
            first = self._nonempty.node(node, rule)
            if first is not None:
                equation.others.append(sequence(first, rest))
        elif isinstance(node, RuleRef):
            if rest != EMPTY or node.name != rule:
                equation.heads.setdefault(node.name, []).append(rest)
        elif isinstance(node, Alternation):
            for option in node.options:
                self._expose(option, rest, members, equation, rule)
        elif isinstance(node, Sequence):
            for place, item in enumerate(node.items):
                self._allowance.spend(len(node.items) - place, rule)
                after = sequence(*node.items[place + 1 :], rest)
                self._expose(item, after, members, equation, rule)
                if not is_nullable(item, self._nullable):
                    break
        else:
            # Rounds that read nothing can be left out, so the first round reads something.
            item, least = node.item, max(node.minimum - 1, 0)
            if is_nullable(item, self._nullable):
                item, least = self._nonempty.node(item, rule) or EMPTY, 0
            most = None if node.maximum is None else node.maximum - 1
            again = repeat(item, least, most)
            self._expose(node.item, sequence(again, rest), members, equation, rule)

    def _take_out(self, rule: str, equations: dict[str, _Equation]) -> None:
        """Solve the equation of a rule, and put the solution in place of the rule in the others."""
        equation = equations.pop(rule)
        repeated = self._star_options(equation.heads.pop(rule, []), rule)
        heads = {head: choice(after) for head, after in equation.heads.items()}
        starts = [
            *(sequence(RuleRef(self._nonempty.name(head)), after) for head, after in heads.items()),
            *equation.others,
        ]
        again: Node = EMPTY
        if repeated:
            before, rest = self._split_end(starts, rule)
            start = sequence(loop(before), choice(rest)) if before else choice(starts)
            before, rest = self._split_end(repeated, rule)
            if before:
                start = self._named(start, rule, "operand", larger_than=1)
            rest = self._star_options(rest, rule)
            if rest:
                again = factored(loop([*(sequence(u, start) for u in before), *rest]))
            else:
                again = loop([sequence(factored(choice(before)), start)])
            starts = [start]
        users = [equation for equation in equations.values() if rule in equation.heads]
        if users:
            again = self._named(again, rule, "rest")
        first = choice(starts)
        once = repeat(first) == again
        self._define(rule, repeat(first, 1) if once else factored(sequence(first, again)))
        base = choice(equation.others) if equation.others else None
        if base is not None and (len(users) > 1 or depth(base) > DEEP):
            base = self._named(base, rule, "start")
        for name, user in equations.items():
            if rule not in user.heads:
                continue
            after = choice(user.heads.pop(rule))
            if len(heads) > 1 or depth(after) > DEEP:
                after = self._named(after, name, "rest")
            for head, between in heads.items():
                made = sequence(between, again, after)
                self._allowance.spend_on(made, name)
                if head != name or made != EMPTY:
                    user.heads.setdefault(head, []).append(made)
            if base is not None:
                # As options of their own, they can be compared and joined with the user's.
                bases = options_of(base) if again == after == EMPTY else (base,)
                user.others.extend(sequence(option, again, after) for option in bases)
                self._allowance.spend_on(user.others[-1], name)

    def _define(self, rule: str, body: Node) -> None:
        self._allowance.spend_on(body, rule)
        name = self._nonempty.name(rule)
        self._rules[name] = body
        if name != rule:
            self._rules[rule] = optional(RuleRef(name))

    def _named(self, node: Node, rule: str, ending: str, larger_than: int = LARGE) -> Node:
        """A new rule for a node, if the node is large. The rule never matches the empty text."""
        if sum(1 for _ in nodes(node)) <= larger_than:
            return node
        if not is_nullable(node, self._nullable):
            name = self._new.name(rule, ending)
            self._rules[name] = node
            return RuleRef(name)
        full = self._nonempty.node(node, rule)
        return EMPTY if full is None else optional(self._named(full, rule, ending, 0))

    def _star_options(self, options: list[Node], rule: str) -> list[Node]:
        return [o for option in options for o in self._nonempty.star_options(option, rule)]

    def _split_end(self, options: list[Node], rule: str) -> tuple[list[Node], list[Node]]:
        """`split_end` for the rule without the empty text, which also splits other rules."""
        name = self._nonempty.name(rule)
        bodies = self._ending_with(rule)
        if name != rule:
            bodies[rule] = optional(RuleRef(name))

        def spend(nodes: int) -> None:
            self._allowance.spend(nodes, rule)

        before, rest = split_end(options, name, bodies, spend)
        return [sequence(*items) for items in before], [sequence(*items) for items in rest]

    def _ending_with(self, rule: str) -> dict[str, Node]:
        """The bodies of rules that can end with ``rule``, unless they can end with themselves."""
        found = {rule}
        nearest = [rule]
        while nearest:
            users = [user for name in nearest for user in self._users_at_end.get(name, ())]
            nearest = [user for user in dict.fromkeys(users) if user not in found]
            if len(found) + len(nearest) > MAX_RULES_SEEN_THROUGH:
                break
            found.update(nearest)
        bodies = {name: self._grammar.rules[name] for name in found - self._members}
        graph = {
            name: {last: None for last in last_rules(body) if last in bodies}
            for name, body in bodies.items()
        }
        for name in (name for circle in circles(graph) for name in circle):
            del bodies[name]
        return bodies


def _next(equations: dict[str, _Equation]) -> str:
    """The rule that makes the fewest new options when it is taken out; the later of two equal."""
    users = Counter(head for e in equations.values() for head in e.heads)
    best, least = "", -1
    for name, equation in equations.items():
        own = name in equation.heads
        made = (users[name] - own) * (len(equation.heads) - own + bool(equation.others))
        if made <= least or least < 0:
            best, least = name, made
    return best

"""Chooses the rules that become part of the rules that use them.

Every remaining rule costs the matcher a stack frame at each use, and hides its beginning from the
subset construction. Rules that do not contain themselves go into their callers if they are small
(white space, digits, keywords) or used once. Of a circle of rules, the last one stays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from .nfa import Nfa

__all__ = ["inlined_rules"]

SMALL_RULE = 24
"""States of a rule that is copied to every use of it …"""

MAX_COPIED_STATES = 1_000
"""… while the copies of one rule have no more states than this together …"""

MAX_CALLER_STATES = 8_000
"""… and no rule grows beyond this …"""

MAX_BUILT_STATES = 200_000
"""… and all inlined rules together do not: a chain of rules is built anew at every link."""


def inlined_rules(nfas: Mapping[str, Nfa], root: str, *, kept: AbstractSet[str]) -> list[str]:
    """The rules to inline. They may use each other, but no rule uses itself through them."""
    uses = {name: _calls(nfa) for name, nfa in nfas.items()}
    sizes = {name: len(nfa.edges) for name, nfa in nfas.items()}
    callers: dict[str, set[str]] = {name: set() for name in nfas}
    for name, used in uses.items():
        for rule in used:
            callers[rule].add(name)
    inlined = []
    n_built = 0
    for name in _callees_first(uses, root):
        if name == root or name in kept or name in uses[name]:
            continue
        counts = {caller: uses[caller][name] for caller in callers[name]}
        n_uses = sum(counts.values())
        if n_uses > 1 and (
            sizes[name] > SMALL_RULE or (n_uses - 1) * sizes[name] > MAX_COPIED_STATES
        ):
            continue
        if any(sizes[c] + n * sizes[name] > MAX_CALLER_STATES for c, n in counts.items()):
            continue
        n_built += sizes[name]
        if n_built > MAX_BUILT_STATES:
            break
        inlined.append(name)
        for caller, count in counts.items():
            del uses[caller][name]
            sizes[caller] += count * sizes[name]
            for rule, inside in uses[name].items():
                uses[caller][rule] += count * inside
                callers[rule].add(caller)
        for rule in uses[name]:
            callers[rule].discard(name)
    return inlined


def _calls(nfa: Nfa) -> Counter[str]:
    return Counter(label for edges in nfa.edges for label, _ in edges if isinstance(label, str))


def _callees_first(uses: Mapping[str, Mapping[str, int]], root: str) -> list[str]:
    order = []
    seen = {root}
    path = [(root, iter(list(uses[root])))]
    while path:
        name, rest = path[-1]
        for rule in rest:
            if rule not in seen:
                seen.add(rule)
                path.append((rule, iter(list(uses[rule]))))
                break
        else:
            path.pop()
            order.append(name)
    return order

"""Writes one of many listed texts. Texts that share a beginning share rules.

Without this, a matcher would follow thousands of alternatives at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..gbnf.build import alternation, literal, sequence
from ..gbnf.syntax import EMPTY, Node
from .rules import RuleBook

__all__ = ["one_of_texts"]

_FEW = 20
"""Up to this many texts, each is written in full."""

_NESTED = 12
"""Nested beginnings in one rule, because trees must not become deep."""


def one_of_texts(texts: Sequence[str], rules: RuleBook, wanted: str) -> Node:
    """One of the texts, of which there must be at least one."""
    if len(texts) <= _FEW:
        return alternation(*map(literal, texts))
    return _branches(sorted(set(texts)), 0, rules, wanted, 0)


def _branches(texts: list[str], start: int, rules: RuleBook, wanted: str, depth: int) -> Node:
    """The rest of texts that share their first ``start`` characters."""
    # The texts are sorted, so all share what the first and the last have in common.
    pairs = enumerate(zip(texts[0][start:], texts[-1][start:], strict=False))
    shortest = min(len(texts[0]), len(texts[-1])) - start
    shared = next((place for place, (first, last) in pairs if first != last), shortest)
    beginning = literal(texts[0][start : start + shared])
    if len(texts) == 1:
        return beginning
    start += shared
    options: list[Node] = []
    for char, group in groupby(texts, key=lambda text: text[start : start + 1]):
        members = list(group)
        if not char:
            options.append(EMPTY)
        elif depth == _NESTED:
            options.append(rules.add(wanted, _branches(members, start, rules, wanted, 0)))
        else:
            options.append(_branches(members, start, rules, wanted, depth + 1))
    return sequence(beginning, alternation(*options))

"""Constructors that keep grammar trees in normal form.

In a tree made with these functions, no sequence stands directly in a sequence and no alternation
directly in an alternation. Neither has only one part. No repetition repeats the empty text, or
repeats exactly zero times or once. The empty text is always ``EMPTY``, and each set of characters
has one spelling. The texts that a tree describes do not change.

The functions keep the given order, repeated options, and forms that look equal only to a reader:
``"ab"`` and ``"a" "b"``, ``[a]`` and ``"a"``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .syntax import (
    EMPTY,
    MAX_CODE_POINT,
    Alternation,
    CharClass,
    Literal,
    Node,
    Repeat,
    RuleRef,
    Sequence,
)

__all__ = [
    "ANY",
    "NOTHING",
    "alternation",
    "char_class",
    "literal",
    "normal",
    "optional",
    "parts",
    "repeat",
    "sequence",
    "with_prefix",
]

_FIRST_SURROGATE, _LAST_SURROGATE = 0xD800, 0xDFFF

ANY = CharClass((), negated=True)
"""``.``: any one character."""

NOTHING = CharClass(())
"""The class without characters. No text matches it, not even the empty text."""


def literal(text: str) -> Node:
    """Exactly this text; ``EMPTY`` for the empty text."""
    return Literal(text) if text else EMPTY


def char_class(ranges: Iterable[tuple[int, int]], *, negated: bool = False) -> CharClass:
    """One character inside the ranges of code points, or outside them if ``negated``.

    Ranges include both ends, may overlap and come in any order. No text contains surrogates
    (U+D800 to U+DFFF), so ranges touch across them: ``a`` to U+D7FF and U+E000 to U+FFFF become
    one range. All characters make `ANY`, no characters make `NOTHING`.

    Raises ValueError for a range that is reversed or leaves U+0000 to U+10FFFF.
    """
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if not 0 <= first <= last <= MAX_CODE_POINT:
            raise ValueError(f"U+{first:04X} to U+{last:04X} is not a range of code points")
        if first >= _FIRST_SURROGATE:
            first = max(first, _LAST_SURROGATE + 1)
        if last <= _LAST_SURROGATE:
            last = min(last, _FIRST_SURROGATE - 1)
        if first > last:
            continue
        if merged and first <= _next_character(merged[-1][1]):
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    if merged == [(0, MAX_CODE_POINT)]:
        return NOTHING if negated else ANY
    return CharClass(tuple(merged), negated)


def _next_character(code: int) -> int:
    return _LAST_SURROGATE + 1 if code == _FIRST_SURROGATE - 1 else code + 1


def sequence(*items: Node) -> Node:
    """The items one after another. No items make ``EMPTY``; one item is returned itself."""
    flat: list[Node] = []
    for item in items:
        if isinstance(item, Sequence):
            flat.extend(item.items)
        elif item != Literal(""):
            flat.append(item)
    return flat[0] if len(flat) == 1 else Sequence(tuple(flat))


def alternation(*options: Node) -> Node:
    """One of the options. A single option is returned itself.

    Raises ValueError without options. Use `NOTHING` for a node that no text matches.
    """
    flat: list[Node] = []
    for option in options:
        if isinstance(option, Alternation):
            flat.extend(option.options)
        else:
            flat.append(sequence(option))
    if not flat:
        raise ValueError("an alternation needs an option")
    return flat[0] if len(flat) == 1 else Alternation(tuple(flat))


def repeat(item: Node, minimum: int = 0, maximum: int | None = None) -> Node:
    """The item ``minimum`` to ``maximum`` times, both included. None means no upper bound.

    If ``*``, ``+`` and ``?`` are nested, one of them remains: ``(x+)?`` is ``x*``.

    Raises ValueError if ``0 <= minimum <= maximum`` does not hold.
    """
    if minimum < 0 or (maximum is not None and maximum < minimum):
        raise ValueError(f"{{{minimum},{maximum}}} is not a number of repetitions")
    item = sequence(item)
    if (minimum, maximum) == (1, 1):
        return item
    if (minimum, maximum) == (0, 0) or item == EMPTY:
        return EMPTY
    outer = Repeat(item, minimum, maximum)
    if isinstance(item, Repeat) and _is_short(outer) and _is_short(item):
        unbounded = maximum is None or item.maximum is None
        return Repeat(item.item, min(minimum, item.minimum), None if unbounded else 1)
    return outer


def _is_short(node: Repeat) -> bool:
    """Whether this is ``*``, ``+`` or ``?``."""
    return node.minimum <= 1 and node.maximum in (1, None)


def optional(item: Node) -> Node:
    """The item or nothing: ``x?``."""
    return repeat(item, 0, 1)


def normal(node: Node) -> Node:
    """The same tree in normal form. It may be of any depth."""
    return _rebuilt(node, "")


def with_prefix(rules: Mapping[str, Node], prefix: str) -> dict[str, Node]:
    """The same rules under longer names, so that they can stand beside those of other grammars."""
    return {prefix + name: _rebuilt(node, prefix) for name, node in rules.items()}


def _rebuilt(node: Node, prefix: str) -> Node:
    made: list[Node] = []
    waiting: list[tuple[Node, bool]] = [(node, False)]
    while waiting:
        node, parts_are_made = waiting.pop()
        old = parts(node)
        if parts_are_made:
            first = len(made) - len(old)
            made[first:] = [_remade(node, made[first:], prefix)]
        else:
            waiting.append((node, True))
            waiting.extend((part, False) for part in reversed(old))
    return made.pop()


def parts(node: Node) -> tuple[Node, ...]:
    """The parts of a node, in order. A literal, a class and a name have none."""
    match node:
        case Sequence(items):
            return items
        case Alternation(options):
            return options
        case Repeat(item):
            return (item,)
    return ()


def _remade(node: Node, new: list[Node], prefix: str) -> Node:
    match node:
        case Literal(text):
            return literal(text)
        case CharClass(ranges, negated):
            return char_class(ranges, negated=negated)
        case Sequence():
            return sequence(*new)
        case Alternation():
            return alternation(*new)
        case Repeat(_, minimum, maximum):
            return repeat(new[0], minimum, maximum)
        case RuleRef(name):
            return RuleRef(prefix + name)
    return node

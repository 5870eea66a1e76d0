"""Strings: content that a pattern, a format or two lengths describe, written as JSON.

Strings without pattern or format may spell any character as an escape. All
others, and keys, are spelled in one way only, that of ``json.dumps`` with
``ensure_ascii=False``, so that a text says exactly which characters it means.
"""

from __future__ import annotations

import json

from ..gbnf.build import ANY, NOTHING, alternation, char_class, literal, sequence
from ..gbnf.syntax import CharClass, Literal, Node, Repeat, RuleRef, Sequence
from .formats import FORMATS
from .lengths import length_range, within
from .patterns import parse_pattern
from .problems import Problems
from .rules import RuleBook, name_of
from .shapes import String

__all__ = ["MAX_LENGTH", "content_tree", "encoded", "string_node"]

MAX_LENGTH = 1_000_000
"""Most characters that are counted."""

_UNESCAPED = char_class([(0x00, 0x1F), (0x22, 0x22), (0x5C, 0x5C)], negated=True)
_ESCAPED = (*range(0x20), 0x22, 0x5C)
_QUOTE = literal('"')


def string_node(shape: String, rules: RuleBook, problems: Problems) -> Node:
    """All strings of the shape, in quotes; `NOTHING` if there are none."""
    tree = content_tree(shape, problems)
    if tree is not None:
        return sequence(_QUOTE, encoded(tree, rules, name_of(shape.pointer)), _QUOTE)
    minimum, maximum = shape.minimum, shape.maximum
    too_many = f"over {MAX_LENGTH} characters are not counted"
    if minimum > MAX_LENGTH:
        problems.add("minLength", shape.pointer, too_many)
        minimum = 0
    if maximum is not None and maximum > MAX_LENGTH:
        problems.add("maxLength", shape.pointer, too_many)
        maximum = None
    if minimum == 0 and maximum is None:
        return rules.shared("string")
    content = rules.counted(name_of(shape.pointer), rules.shared("char"), minimum, maximum)
    return sequence(_QUOTE, content, _QUOTE)


def content_tree(shape: String, problems: Problems) -> Node | None:
    """What stands between the quotes, before escaping; None without pattern and format."""
    sources = {FORMATS[name]: "format" for name in shape.formats}
    sources |= {pattern: "pattern" for pattern in shape.patterns if pattern not in sources}
    if not sources:
        return None
    chosen, *others = sources
    for other in others:
        problems.add(
            sources[other], shape.pointer, "a string can be held to one pattern or format only"
        )
    tree = parse_pattern(chosen)
    shortened = within(tree, shape.minimum, shape.maximum)
    if shortened is None:
        low, _ = length_range(tree)
        keyword = "minLength" if low < shape.minimum else "maxLength"
        problems.add(
            keyword,
            shape.pointer,
            f"the {sources[chosen]} beside it varies in length in more than one place",
        )
        return tree
    return shortened


def encoded(tree: Node, rules: RuleBook, wanted: str) -> Node:
    """The tree with every character as it is written in JSON; references to rules stay."""
    if isinstance(tree, Literal):
        return literal(json.dumps(tree.text, ensure_ascii=False)[1:-1])
    if isinstance(tree, CharClass):
        return _encoded_class(tree, rules)
    if isinstance(tree, Repeat):
        item = encoded(tree.item, rules, wanted)
        return rules.counted(wanted, item, tree.minimum, tree.maximum)
    if isinstance(tree, Sequence):
        return sequence(*(encoded(item, rules, wanted) for item in tree.items))
    if isinstance(tree, RuleRef):
        return tree
    return alternation(*(encoded(option, rules, wanted) for option in tree.options))


def _encoded_class(tree: CharClass, rules: RuleBook) -> Node:
    if tree == ANY:
        return rules.shared("plain-char")
    escaped = [chr(code) for code in _ESCAPED if tree.matches(chr(code))]
    if tree.negated:
        raw = char_class((*tree.ranges, *_UNESCAPED.ranges), negated=True)
    else:
        raw = char_class(
            (max(first, start), min(last, end))
            for first, last in tree.ranges
            for start, end in _UNESCAPED.positive
            if max(first, start) <= min(last, end)
        )
    options: list[Node] = [] if raw == NOTHING else [raw]
    if len(escaped) == len(_ESCAPED):
        options.append(rules.shared("escape"))
    else:
        options += [literal(json.dumps(char)[1:-1]) for char in escaped]
    return alternation(*options) if options else NOTHING

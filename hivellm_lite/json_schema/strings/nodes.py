"""Writes strings that satisfy patterns, formats and lengths.

Strings without a pattern or format may spell any character as an escape. All other strings, and
keys, have one spelling only: that of ``json.dumps`` with ``ensure_ascii=False``.
"""

from __future__ import annotations

import json
from dataclasses import replace

from ...gbnf.build import ANY, NOTHING, alternation, char_class, literal, sequence
from ...gbnf.syntax import CharClass, Literal, Node, Repeat, RuleRef, Sequence
from ..problems import Problems
from ..rules import UNESCAPED, RuleBook, name_of
from ..shapes import String
from .automata import TextAutomaton, TooLargeError
from .automaton_rules import automaton_node
from .formats import FORMATS, short_format
from .languages import UnwritableError, string_automaton
from .lengths import within
from .patterns import UnsupportedPattern, parse_pattern

__all__ = ["MAX_LENGTH", "content_tree", "encoded", "language_node", "string_node"]

MAX_LENGTH = 1_000_000
"""The largest ``minLength`` or ``maxLength`` that is enforced."""

_MANY_RANGES = 20
"""A class with more ranges becomes a separate rule."""

_ESCAPED = (*range(0x20), 0x22, 0x5C)
_QUOTE = literal('"')


def string_node(shape: String, rules: RuleBook, problems: Problems) -> Node:
    """All strings of the shape, in quotes; `NOTHING` if there are none."""
    return rules.remembered(shape, lambda: _string_node(shape, rules, problems))


def _string_node(shape: String, rules: RuleBook, problems: Problems) -> Node:
    content = _content(shape, rules, problems)
    if content is not None:
        return NOTHING if content == NOTHING else sequence(_QUOTE, content, _QUOTE)
    minimum, maximum = shape.minimum, shape.maximum
    too_many = f"lengths over {MAX_LENGTH} are not supported"
    if minimum > MAX_LENGTH:
        problems.add("minLength", shape.pointer, too_many)
        minimum = 0
    if maximum is not None and maximum > MAX_LENGTH:
        problems.add("maxLength", shape.pointer, too_many)
        maximum = None
    if minimum == 0 and maximum is None:
        return rules.shared("string")
    counted = rules.counted(name_of(shape.pointer), rules.shared("char"), minimum, maximum)
    return sequence(_QUOTE, counted, _QUOTE)


def _content(shape: String, rules: RuleBook, problems: Problems) -> Node | None:
    """The text between the quotes; None if the shape has nothing but lengths.

    A single pattern stays a tree, because trees make small grammars. Combined constraints become
    an automaton.
    """
    if not (shape.patterns or shape.formats or shape.without):
        return None
    wanted = name_of(shape.pointer)
    tree = content_tree(shape)
    if tree is not None:
        return encoded(tree, rules, wanted)
    try:
        return language_node(string_automaton(shape), rules, wanted)
    except UnwritableError as error:
        problems.add(error.keyword, shape.pointer, str(error))
        keyword = error.keyword
    except TooLargeError as error:
        keyword = "maxLength" if shape.maximum else "minLength" if shape.minimum else "pattern"
        problems.add(keyword, shape.pointer, f"together with the keywords next to it: {error}")
    return _content(_weaker(shape, keyword), rules, problems)


def _weaker(shape: String, keyword: str) -> String:
    """The shape without the keyword that was too much."""
    if keyword == "not":
        return replace(shape, without=())
    if keyword == "minLength":
        return replace(shape, minimum=0)
    if keyword == "maxLength":
        return replace(shape, maximum=None)
    if keyword == "format" and shape.formats:
        return replace(shape, formats=shape.formats[:-1])
    return replace(shape, patterns=shape.patterns[:-1])


def content_tree(shape: String) -> Node | None:
    """The text between the quotes, before escaping; None if no tree describes the shape."""
    sources = {FORMATS[name] for name in shape.formats} | {*shape.patterns}
    if len(sources) != 1 or shape.without:
        return None
    if shape.formats and shape.maximum is not None:
        shorter = (short_format(name, shape.maximum) for name in shape.formats)
        sources = {pattern for pattern in shorter if pattern is not None} or sources
    try:
        tree = parse_pattern(*sources)
    except UnsupportedPattern:
        return None
    return within(tree, shape.minimum, shape.maximum)


def language_node(automaton: TextAutomaton, rules: RuleBook, wanted: str) -> Node:
    """The texts of an automaton, escaped as in JSON strings.

    Raises `TooLargeError`.
    """
    return automaton_node(automaton, rules, wanted, lambda tree: _encoded_class(tree, rules))


def encoded(tree: Node, rules: RuleBook, wanted: str) -> Node:
    """The tree with all characters escaped as in JSON strings. References to rules stay."""
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
    if len(tree.ranges) > _MANY_RANGES:
        # The letters of all scripts take a thousand states of bytes at each place that has them.
        return rules.remembered(tree, lambda: rules.add("characters", _spelled(tree, rules)))
    return _spelled(tree, rules)


def _spelled(tree: CharClass, rules: RuleBook) -> Node:
    escaped = [chr(code) for code in _ESCAPED if tree.matches(chr(code))]
    if tree.negated:
        raw = char_class((*tree.ranges, *UNESCAPED.ranges), negated=True)
    else:
        raw = char_class(
            (max(first, start), min(last, end))
            for first, last in tree.ranges
            for start, end in UNESCAPED.positive
            if max(first, start) <= min(last, end)
        )
    options: list[Node] = [] if raw == NOTHING else [_as_literal(raw)]
    if len(escaped) == len(_ESCAPED):
        options.append(rules.shared("escape"))
    else:
        options += [literal(json.dumps(char)[1:-1]) for char in escaped]
    return alternation(*options) if options else NOTHING


def _as_literal(node: CharClass) -> Node:
    """A class of one character as a literal, which can join the literals around it."""
    if not node.negated and len(node.ranges) == 1 and node.ranges[0][0] == node.ranges[0][1]:
        return literal(chr(node.ranges[0][0]))
    return node

r"""Writes a grammar: from the tree of ``syntax.py`` to GBNF text that llama.cpp reads.

Every tree has one text. Within ``limits.py``, reading that text gives the tree in the normal form
of ``build.py``. Invisible characters are written as escapes. The character data of Unicode 3.2
decides which these are, so that every version of Python writes the same text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from enum import IntEnum
from unicodedata import ucd_3_2_0

from .build import ANY, NOTHING, normal, parts
from .limits import MAX_NAME, MAX_RULES
from .syntax import Alternation, CharClass, Grammar, Literal, Node, RuleRef, Sequence

__all__ = ["print_grammar", "print_node"]

_WIDTH = 100  # a longer alternation has a line for each option
_ROOT = "root"
_LEGAL_NAME = re.compile(rf"[A-Za-z0-9-]{{1,{MAX_NAME}}}")
_ROOM = len(f"-{MAX_RULES}-")  # characters that a number adds to a name
_IN_LITERAL = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\", '"': r"\""}
_IN_CLASS = {"\n": r"\n", "\r": r"\r", "\t": r"\t", "\\": r"\\", "]": r"\]", "-": r"\x2D"}


def print_grammar(grammar: Grammar) -> str:
    """The grammar as text: one rule on each line, the root first and named ``root``.

    llama.cpp reads only names of ASCII letters, digits and ``-``. Other names become similar
    free names: ``a_b`` becomes ``a-b``, or ``a-b-2`` if the grammar already has an ``a-b``.
    """
    rules = {name: normal(node) for name, node in grammar.rules.items()}
    names = _legal_names(grammar.root, rules)
    order = sorted(rules, key=lambda name: name != grammar.root)
    return "".join(_rule(names[name], rules[name], names.__getitem__) for name in order)


def print_node(node: Node) -> str:
    """One line of GBNF for a node, with the names of rules unchanged."""
    return _text(normal(node), _Place.BODY, str)


def _rule(name: str, node: Node, rename: Callable[[str], str]) -> str:
    line = f"{name} ::= {_text(node, _Place.BODY, rename)}\n"
    if len(line) <= _WIDTH or not isinstance(node, Alternation):
        return line
    # Outside parentheses, llama.cpp lets a rule continue only after '::=' and '|'.
    options = (_text(option, _Place.OPTION, rename) for option in node.options)
    return f"{name} ::=\n  " + " |\n  ".join(options) + "\n"


def _legal_names(root: str, rules: dict[str, Node]) -> dict[str, str]:
    """A name that llama.cpp reads for every name in the rules. All of them differ."""
    used = dict.fromkeys([*rules, *(name for node in rules.values() for name in _names(node))])
    legal = {name: name for name in used if _LEGAL_NAME.fullmatch(name) and name != _ROOT}
    legal[root] = _ROOT
    taken = set(legal.values())
    copies: Counter[str] = Counter()
    for name in used:
        if name not in legal:
            similar = "".join(map(_legal_character, name))[: MAX_NAME - _ROOM] or "rule"
            chosen = similar
            while chosen in taken:
                copies[similar] += 1
                chosen = f"{similar}-{copies[similar] + 1}"
            legal[name] = chosen
            taken.add(chosen)
    return legal


def _legal_character(char: str) -> str:
    if _LEGAL_NAME.fullmatch(char):
        return char
    return f"u{ord(char):x}" if char.isalnum() else "-"


def _names(node: Node) -> Iterator[str]:
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, RuleRef):
            yield node.name
        waiting.extend(reversed(parts(node)))


class _Place(IntEnum):
    """The place of a node. A node that binds more loosely than its place gets parentheses."""

    BODY = 0
    OPTION = 1
    ITEM = 2
    REPEATED = 3


_Piece = str | tuple[Node, _Place]


def _text(node: Node, place: _Place, rename: Callable[[str], str]) -> str:
    """A node in normal form, of any depth, as text on one line."""
    written = []
    waiting: list[_Piece] = [(node, place)]
    while waiting:
        piece = waiting.pop()
        if isinstance(piece, str):
            written.append(piece)
        else:
            waiting.extend(reversed(_pieces(*piece, rename)))
    return "".join(written)


def _pieces(node: Node, place: _Place, rename: Callable[[str], str]) -> list[_Piece]:
    """One level of a node: pieces of text, and the nodes between them."""
    match node:
        case Literal(text):
            return ['"', *(_character(ord(char), _IN_LITERAL) for char in text), '"']
        case CharClass():
            return [_class(node)]
        case RuleRef(name):
            return [rename(name)]
        case Sequence(()):
            return ['""']
        case Sequence(items):
            return _joined(items, " ", _Place.ITEM, in_parentheses=place > _Place.OPTION)
        case Alternation(options):
            return _joined(options, " | ", _Place.OPTION, in_parentheses=place > _Place.BODY)
    repeated: list[_Piece] = [(node.item, _Place.REPEATED), _counts(node.minimum, node.maximum)]
    # llama.cpp refuses a repetition directly after some others.
    return ["(", *repeated, ")"] if place is _Place.REPEATED else repeated


def _joined(
    nodes: tuple[Node, ...], between: str, place: _Place, *, in_parentheses: bool
) -> list[_Piece]:
    pieces: list[_Piece] = [(nodes[0], place)]
    for node in nodes[1:]:
        pieces += [between, (node, place)]
    return ["(", *pieces, ")"] if in_parentheses else pieces


def _counts(minimum: int, maximum: int | None) -> str:
    match minimum, maximum:
        case 0, None:
            return "*"
        case 1, None:
            return "+"
        case 0, 1:
            return "?"
        case _, None:
            return f"{{{minimum},}}"
        case _ if minimum == maximum:
            return f"{{{minimum}}}"
        case _:
            return f"{{{minimum},{maximum}}}"


def _class(characters: CharClass) -> str:
    if characters == ANY:
        return "."
    if characters == NOTHING:
        # llama.cpp reads [] as the empty text, but this class matches no character.
        return r"[^\x00-\U0010FFFF]"
    written = []
    hyphen = ""
    for first, last in characters.ranges:
        if last - first >= 2:
            written.append("-".join(_character(code, _IN_CLASS) for code in (first, last)))
            continue
        for code in range(first, last + 1):
            if code == ord("-"):
                hyphen = "-"  # needs no escape at the end of the class
            else:
                written.append(_character(code, _IN_CLASS))
    text = "".join(written) + hyphen
    if characters.negated:
        return f"[^{text}]"
    return f"[{text}]" if not text.startswith("^") else rf"[\x5E{text[1:]}]"


def _character(code: int, escapes: dict[str, str]) -> str:
    char = chr(code)
    if char in escapes:
        return escapes[char]
    if " " <= char <= "~" or (code > 0x7F and ucd_3_2_0.category(char)[0] in "LNPS"):
        return char
    if code <= 0xFF:
        return f"\\x{code:02X}"
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"

"""Reads a grammar: from GBNF text to the tree of ``syntax.py``.

Source: ``grammars/README.md`` and ``src/llama-grammar.cpp`` of llama.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..errors import GrammarError
from .build import alternation, literal, repeat, sequence
from .lexer import Kind, Lexer, Token
from .limits import MAX_DEPTH, MAX_NODES, MAX_RULES
from .syntax import CharClass, Grammar, Node, RuleRef

__all__ = ["parse_grammar"]


def parse_grammar(text: str | bytes, *, source: str = "<grammar>", root: str = "root") -> Grammar:
    r"""Read a grammar. ``source`` is its name in messages. Bytes are UTF-8.

    Text that llama.cpp reads has the same meaning here. Some more forms are read, because
    published grammars have them and they can mean only one thing:

    - ``_`` and letters of any alphabet in rule names;
    - a rule that continues in the next line, if that line begins with ``|`` or is indented;
    - ``{,n}``; a ``;`` after a rule; a line's end between a rule's name and ``::=``;
    - literals in single quotes; ``\`` before any ASCII punctuation for itself;
    - a surrogate pair as two ``\u`` escapes in a literal; a rule given twice in equal words;
    - a byte order mark.

    Raises GrammarError for text that is not a grammar or is larger than ``limits.py`` allows. The
    error also refuses forms that llama.cpp accepts although no author can mean them: the empty
    class ``[]`` (llama.cpp reads the empty text), reversed ranges, half a surrogate pair, two
    different rules of one name (llama.cpp takes the last), and a rule with nothing after
    ``::=``. Terminals that stand for a token of a model, such as ``<think>`` and ``<[123]>``,
    are refused, too: grammars here describe text.

    This function does not check that every named rule exists, nor that ``root`` does.
    """
    lexer = Lexer(text, source)
    return _Parser(lexer).grammar(source, root)


@dataclass(slots=True)
class _Group:
    """The alternatives of a rule, or between parentheses, that have been read so far.

    ``height`` counts the levels of parentheses and repetitions in the group, ``last`` the levels
    in its last item.
    """

    opened: Token
    options: list[Node] = field(default_factory=list)
    items: list[Node] = field(default_factory=list)
    height: int = 0
    last: int = 0

    def add(self, item: Node, height: int = 0) -> None:
        self.items.append(item)
        self.last = height
        self.height = max(self.height, height)

    def end_option(self) -> None:
        self.options.append(sequence(*self.items))
        self.items.clear()

    def node(self) -> Node:
        self.end_option()
        return alternation(*self.options)


class _Parser:
    """One pass over the tokens, with the open groups on a list."""

    def __init__(self, lexer: Lexer) -> None:
        self._lexer = lexer
        self._rules: dict[str, Node] = {}
        self._lines: dict[str, int] = {}
        self._groups: list[_Group] = []  # the rule that is being read, and its open groups
        self._previous = Kind.END
        self._nodes = 0

    def grammar(self, source: str, root: str) -> Grammar:
        for token in self._lexer:
            if token.kind in (Kind.RULE, Kind.END):
                self._end_rule(token)
            else:
                self._part(token)
            self._previous = token.kind
        return Grammar(self._rules, root, source, self._lines)

    def _end_rule(self, token: Token) -> None:
        """End the rule that is being read, and begin the next one if there is one."""
        if self._groups:
            self._store(token)
        elif token.kind is Kind.END:
            hint = "Write a rule: root ::= alternatives."
            raise self._lexer.error(token.place, "the grammar has no rule", hint)
        if token.kind is Kind.RULE:
            if not token.leading:
                hint = "Begin it in a new line; a name alone stands for its rule."
                raise self._lexer.error(token.place, "a rule begins in the middle of a line", hint)
            self._groups = [_Group(token)]

    def _store(self, following: Token) -> None:
        rule = self._groups[0]
        if len(self._groups) > 1:
            raise self._open_group()
        # llama.cpp reads an empty last alternative at the end of the file, and only there.
        cut_off = self._previous is Kind.OR and following.kind is Kind.RULE
        name = str(rule.opened.value)
        if self._previous is Kind.RULE or cut_off:
            mark = "'|'" if cut_off else "'::='"
            what = f"the rule {name!r} has nothing after its {'last ' * cut_off}{mark}"
            raise self._lexer.error(rule.opened.place, what, 'Write "" for the empty text.')
        node = rule.node()
        line = self._lexer.line(rule.opened.place)
        if self._rules.setdefault(name, node) != node:
            what = f"the rule {name!r} is defined again, differently from line "
            hint = "Give one of the two another name, or join them with '|'."
            raise self._lexer.error(rule.opened.place, f"{what}{self._lines[name]}", hint)
        self._lines.setdefault(name, line)
        if len(self._rules) > MAX_RULES:
            what = f"the grammar has more than {MAX_RULES:,} rules, the limit"
            raise self._lexer.error(rule.opened.place, what, "Describe less.")

    def _part(self, token: Token) -> None:
        """Add a token inside a rule to the open group."""
        self._check_line(token)
        self._nodes += 1
        if self._nodes > MAX_NODES:
            what = f"the grammar has more than {MAX_NODES:,} parts, the limit"
            hint = "Write what repeats as a rule of its own, or describe less."
            raise self._lexer.error(token.place, what, hint)
        group = self._groups[-1]
        match token.kind, token.value:
            case Kind.NAME, str(name):
                group.add(RuleRef(name))
            case Kind.LITERAL, str(text):
                group.add(literal(text))
            case Kind.CLASS, CharClass() as characters:
                group.add(characters)
            case Kind.REPEAT, (int(minimum), maximum):
                self._repeat(group, token, minimum, maximum)
            case Kind.OR, _:
                group.end_option()
            case Kind.OPEN, _:
                self._check_depth(token, len(self._groups))
                self._groups.append(_Group(token))
            case Kind.CLOSE, _:
                self._close(group, token)
            case Kind.SEMICOLON, _ if len(self._groups) > 1:
                raise self._open_group()

    def _check_line(self, token: Token) -> None:
        """A line that neither begins a rule nor continues one is a mistake."""
        continues = (
            len(self._groups) > 1
            or self._previous in (Kind.RULE, Kind.OR)
            or token.kind in (Kind.OR, Kind.SEMICOLON)
            or token.indented
        )
        ended = self._previous in (Kind.SEMICOLON, Kind.END)
        if ended or (token.leading and not continues):
            what = f"{token.kind.value} where a rule should begin"
            hint = "A rule is: name ::= alternatives. Indent a line that continues a rule."
            raise self._lexer.error(token.place, what, hint)

    def _repeat(self, group: _Group, token: Token, minimum: int, maximum: int | None) -> None:
        if not group.items:
            hint = "Put it after what it repeats; a literal sign stands in double quotes."
            raise self._lexer.error(token.place, "a repetition has nothing before it", hint)
        self._check_depth(token, len(self._groups) + group.last)
        group.add(repeat(group.items.pop(), minimum, maximum), group.last + 1)

    def _open_group(self) -> GrammarError:
        what = "the group that begins here is not closed"
        hint = "Put ) after its last alternative, before the rule ends."
        return self._lexer.error(self._groups[-1].opened.place, what, hint)

    def _close(self, group: _Group, token: Token) -> None:
        if len(self._groups) == 1:
            hint = "Remove it, or put '(' before what it ends."
            raise self._lexer.error(token.place, "')' closes nothing", hint)
        self._groups.pop()
        self._groups[-1].add(group.node(), group.height + 1)

    def _check_depth(self, token: Token, depth: int) -> None:
        if depth > MAX_DEPTH:
            what = f"more than {MAX_DEPTH} levels of groups and repetitions, the limit"
            hint = "Write an inner part as a rule of its own."
            raise self._lexer.error(token.place, what, hint)

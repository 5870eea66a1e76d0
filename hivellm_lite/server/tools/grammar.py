"""The grammar of an answer that may call tools.

Without a demand, an answer is text that may end with calls: as soon as it has written
``<tool_call>``, a call must follow. A demanded answer has only calls.
"""

from __future__ import annotations

import functools
import json
from dataclasses import replace

from ...errors import GrammarError
from ...gbnf.build import alternation, char_class, literal, repeat, sequence, with_prefix
from ...gbnf.syntax import EMPTY, Grammar, Node, RuleRef
from ...json_schema import schema_to_grammar
from ..errors import invalid
from .definitions import Tool, Tools

__all__ = ["CALL_BEGIN", "CALL_END", "OPEN_TAG", "tools_grammar"]

OPEN_TAG = "<tool_call>"
CALL_BEGIN = '\n{"name": "'
CALL_MIDDLE = '", "arguments": '
CALL_END = "}\n</tool_call>"


MAX_KEPT = 1 << 16
"""Characters of schemas and of another grammar whose grammar is kept for the next request."""


def tools_grammar(tools: Tools, instead: str | None = None) -> Grammar:
    """The same grammar object for the same tools, so that experts compile it once.

    ``instead``: GBNF text of what an answer without calls must be; None is any text. Raises
    APIError for the parameters of a strict tool that a grammar cannot enforce, and GrammarError
    for ``instead``.
    """
    called = tuple(replace(tool, description="") for tool in tools.callable)
    told = replace(tools, shown=(), callable=called)
    size = sum(len(tool.parameters) for tool in called) + len(instead or "")
    return (_kept if size <= MAX_KEPT else _made)(told, instead)


def _made(tools: Tools, instead: str | None) -> Grammar:
    rules: dict[str, Node] = {"root": EMPTY}
    bodies = []
    for index, tool in enumerate(tools.callable):
        found = _parameters(tool)
        rules |= with_prefix(found.rules, f"tool{index}-")
        begin = CALL_BEGIN + json.dumps(tool.name)[1:-1] + CALL_MIDDLE
        end = literal(CALL_END)
        bodies.append(sequence(literal(begin), RuleRef(f"tool{index}-{found.root}"), end))
    rules["body"] = alternation(*bodies)
    more = repeat(sequence(literal("\n" + OPEN_TAG), RuleRef("body")), 0, None)
    rules["calls"] = sequence(RuleRef("body"), more) if tools.parallel else RuleRef("body")
    calls = sequence(literal(OPEN_TAG), RuleRef("calls"))
    if tools.required:
        rules["root"] = calls
    elif instead is None:
        rules |= _text_then("root", OPEN_TAG, "calls")
    else:
        other = Grammar.parse(instead, source="the answer without calls")
        rules |= with_prefix(other.rules, "answer-")
        rules["root"] = alternation(calls, RuleRef(f"answer-{other.root}"))
    return Grammar(rules, source="the request's tools")


_kept = functools.lru_cache(maxsize=64)(_made)


def _parameters(tool: Tool) -> Grammar:
    try:
        return schema_to_grammar(
            json.loads(tool.parameters), allow_unenforced=not tool.strict, source=tool.name
        )
    except GrammarError as error:
        path = f"{tool.at}.parameters"
        raise invalid(path, f"Invalid '{path}': {error}", code="invalid_schema") from None


def _text_then(root: str, tag: str, after: str) -> dict[str, Node]:
    """Any text, where ``after`` follows the first ``tag``: one rule for each of the tag's
    beginnings. The tag's first character does not come again in it.
    """
    first = tag[0]
    names = [root, *(f"{root}-{length}" for length in range(1, len(tag)))]
    rules: dict[str, Node] = {}
    for length, name in enumerate(names):
        expected = tag[length]
        following = RuleRef(names[length + 1] if length + 1 < len(tag) else after)
        other = char_class([(ord(one), ord(one)) for one in {first, expected}], negated=True)
        options = [
            EMPTY,
            sequence(literal(expected), following),
            sequence(other, RuleRef(root)),
        ]
        if length:
            options.append(sequence(literal(first), RuleRef(names[1])))
        rules[name] = alternation(*options)
    return rules

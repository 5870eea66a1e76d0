"""A question whose answer may call tools."""

from __future__ import annotations

from ...gbnf.library import load_grammar
from ...gbnf.syntax import Grammar
from ...json_schema import schema_to_grammar
from ...requests.options import GenerationOptions
from .definitions import Tools
from .grammar import tools_grammar

__all__ = ["offer_tools"]


def offer_tools(ask: GenerationOptions, tools: Tools) -> None:
    """Put the tools into a question. The answer follows their grammar: its form without a call is
    the question's JSON schema or grammar, and any text otherwise.

    Raises APIError for the parameters of a strict tool that a grammar cannot enforce, and
    GrammarError for the question's own grammar.
    """
    ask["tools"] = [tool.as_dict() for tool in tools.shown]
    ask["grammar"] = tools_grammar(tools, _instead(ask))
    ask["json_schema"] = None


def _instead(ask: GenerationOptions) -> str | None:
    """GBNF text of an answer without calls; None is free text."""
    schema, grammar = ask.get("json_schema"), ask.get("grammar")
    if schema is not None:
        allowed = ask.get("allow_unenforced", False)
        return str(schema_to_grammar(schema, allow_unenforced=allowed))
    if isinstance(grammar, Grammar):
        return str(grammar)
    if isinstance(grammar, str) and grammar not in ("auto", "strict", "off"):
        return str(load_grammar(grammar))
    return None

"""From a conversation that was read to what the library is asked: system message, tools, format."""

from __future__ import annotations

from collections.abc import Mapping

from ..gbnf.library import load_grammar
from ..gbnf.syntax import Grammar
from ..json_schema import schema_to_grammar
from ..prompts.tags import RAW, system_message
from ..requests.options import BatchPrompt
from .asking import Asked, read_options
from .errors import invalid
from .fields import Fields
from .messages import Conversation
from .service import Service
from .tools.definitions import Tools
from .tools.grammar import tools_grammar
from .tools.prompt import tools_text

__all__ = ["ask_about"]

JSONSchema = Mapping[str, object] | bool


def ask_about(
    body: Fields,
    service: Service,
    asked: Asked,
    talk: Conversation,
    *,
    tools: Tools | None,
    schema: JSONSchema | None,
) -> BatchPrompt:
    """The question to the expert. ``schema``: that of the response's format.

    With tools the answer follows their grammar. Its form without a call is that of ``schema`` or
    of the field ``grammar``, and any text otherwise.
    """
    ask = BatchPrompt(prompt=None, **read_options(body, service, asked))
    ask["messages"] = talk.messages
    if schema is not None:
        ask["json_schema"] = schema
    if talk.system is None:
        ask["system"] = _system(asked, ask)
    if tools is not None:
        _add_tools(ask, asked, talk, tools)
    return ask


def _system(asked: Asked, ask: BatchPrompt) -> str | None:
    """The system message that the expert was trained with, where the client gives none."""
    if asked.manifest is None or ask.get("schema") is not None or ask.get("template") == RAW:
        return None
    return system_message(asked.manifest, None)


def _add_tools(ask: BatchPrompt, asked: Asked, talk: Conversation, tools: Tools) -> None:
    said, messages = talk.system, talk.messages
    if said is not None:
        if ask.get("schema") is not None:
            message = "Invalid 'schema': the messages have a system message, which replaces it."
            raise invalid("schema", message)
        messages = messages[1:]
    elif (schema := ask.get("schema")) is not None and asked.manifest is not None:
        said = system_message(asked.manifest, schema)
    elif schema is not None:
        said = schema
    else:
        said = ask.get("system")
    text = tools_text(tools) if said is None else f"{said}\n\n{tools_text(tools)}"
    ask["messages"] = [{"role": "system", "content": text}, *messages]
    ask["system"] = ask["schema"] = None
    ask["grammar"] = tools_grammar(tools, _instead(ask))
    ask["json_schema"] = None


def _instead(ask: BatchPrompt) -> str | None:
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

"""From a conversation that was read to what the library is asked: system message, tools, format."""

from __future__ import annotations

from collections.abc import Mapping

from ..prompts.tags import RAW, system_message
from ..requests.options import BatchPrompt
from .asking import Asked, read_options
from .errors import invalid
from .fields import Fields
from .messages import Conversation
from .service import Service
from .tools.asking import offer_tools
from .tools.definitions import Tools

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
    ask["tool_form"] = "hermes"  # that of the calls that the grammar allows
    documents, variables = body.objects("documents"), body.nested("chat_template_kwargs")
    ask["documents"] = [one.all() for one in documents or ()]
    ask["chat_template_kwargs"] = variables.all() if variables is not None else None
    if schema is not None:
        ask["json_schema"] = schema
    if talk.has_system and ask.get("schema") is not None:
        message = "Invalid 'schema': the messages have a system message, which replaces it."
        raise invalid("schema", message)
    if not talk.has_system:
        ask["system"] = _system(asked, ask)
    if tools is not None:
        offer_tools(ask, tools)
    return ask


def _system(asked: Asked, ask: BatchPrompt) -> str | None:
    """The system message that the expert was trained with, where the client gives none."""
    if asked.manifest is None or ask.get("schema") is not None or ask.get("template") == RAW:
        return None
    return system_message(asked.manifest, None)

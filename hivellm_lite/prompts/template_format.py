"""Prompts that a chat template writes."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import InferenceError
from ..lazy import lazy
from .format import FormattedPrompt, opens_thought, segments_of
from .hermes import told_in_texts, writes_hermes

if TYPE_CHECKING:
    from ..chat_templates import ChatTemplate, Rendered
    from .conversation import Conversation
    from .format import PromptTokens

__all__ = ["TemplateFormat"]

logger = logging.getLogger("hivellm_lite")

_TAG = re.compile(r"\s*(<[^<>\s]{1,48}>|\[/?[A-Z_]{1,30}\])")


class TemplateFormat:
    """A chat template of the package, of the base or of the user.

    ``with_tools``: the template for conversations with tools, where that is another one.
    """

    def __init__(
        self,
        template: ChatTemplate,
        model: PromptTokens,
        origin: str,
        with_tools: ChatTemplate | None = None,
    ) -> None:
        self.origin = origin
        self._template = template
        self._with_tools = with_tools or template
        self._model = model
        self._said: set[str] = set()

    def prompt(self, conversation: Conversation) -> FormattedPrompt:
        said, template = self._tools_told(conversation)
        rendered = self._rendered(said, template)
        last, origin = rendered.parts[-1] if rendered.parts else ("", None)
        return FormattedPrompt(
            tuple(segments_of(rendered.parts, self._model)),
            False,
            origin is None and opens_thought(last),
        )

    @lazy
    def _end(self) -> str | None:
        """The tag that the template writes after an answer."""
        from ..chat_templates import ChatTemplateError

        turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
        try:
            parts = self._template.render(turns, add_generation_prompt=False).parts
        except ChatTemplateError:
            return None
        after = [text for text, origin in parts if origin is None][-1:]
        found = _TAG.match(after[0]) if parts and parts[-1][1] is None and after else None
        return found.group(1) if found else None

    @lazy
    def stop(self) -> str | None:
        if self._end is None or self._model.special_token(self._end) is not None:
            return None
        return self._end

    @lazy
    def end_token(self) -> int | None:
        token = self._model.special_token(self._end) if self._end is not None else None
        return token if token is not None and not self._model.is_end(token) else None

    @lazy
    def _writes_hermes(self) -> bool:
        return writes_hermes(self._with_tools)

    def _tools_told(self, conversation: Conversation) -> tuple[Conversation, ChatTemplate]:
        """What the template is given, and which one: a template that knows nothing of tools, or
        writes them in another form than the one that is asked for, gets them as texts.
        """
        if not conversation.has_calls:
            return conversation, self._template
        template = self._with_tools if conversation.tools else self._template
        if conversation.tool_form == "hermes":
            own = self._writes_hermes
        else:
            calls = any(message.calls for message in conversation.messages)
            own = not conversation.tools or template.reads("tools")
            own = own and (not calls or "tool_calls" in template.source)
        return (conversation if own else told_in_texts(conversation)), template

    def _rendered(self, conversation: Conversation, template: ChatTemplate) -> Rendered:
        """The conversation. A system message that the template cannot write goes into the first
        question.
        """
        from ..chat_templates import TemplateRefusal

        refusal = None
        try:
            rendered = _render(template, conversation)
            missing = [
                index
                for index, message in enumerate(conversation.messages)
                if message.content.strip() and index not in rendered.origins
            ]
        except TemplateRefusal as error:
            refusal, missing = error, [0]
        folded = _without_system(conversation) if 0 in missing else None
        if folded is not None:
            try:
                other = _render(template, folded)
            except TemplateRefusal:
                pass  # it refuses something else: its first refusal counts
            else:
                if refusal is not None or 0 in other.origins:
                    self._warn("has no system message: it is sent with the first question")
                    refusal, rendered, missing = None, other, []
        if refusal is not None:
            raise refusal
        for index in missing:
            self._warn(f"leaves out what '{conversation.messages[index].role}' says")
        if conversation.documents and "documents" not in rendered.origins:
            raise InferenceError(
                f"{template.name} has no place for documents\nWrite them into the question."
            )
        if rendered.mixed_in:
            self._warn(
                f"cannot be followed through '{rendered.mixed_in}': tags in that text are sent as "
                "ordinary text"
            )
        return rendered

    def _warn(self, what: str) -> None:
        """Warn, but only once for each text."""
        if what not in self._said:
            self._said.add(what)
            logger.warning("%s %s", self._template.name, what)


def _render(template: ChatTemplate, conversation: Conversation) -> Rendered:
    return template.render(
        [message.given for message in conversation.messages],
        tools=conversation.tools or None,
        documents=conversation.documents or None,
        thinking=conversation.thinking,
        variables=conversation.variables,
    )


def _without_system(conversation: Conversation) -> Conversation | None:
    """The conversation with its system message in the first question; None if it has none."""
    if [message.role for message in conversation.messages[:2]] != ["system", "user"]:
        return None
    system, question, *others = conversation.messages
    first = question.saying(f"{system.content}\n\n{question.content}")
    return replace(conversation, messages=(first, *others))

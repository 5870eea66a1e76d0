"""Formats that have a name: those of `tags`, and prompts that are used as they are."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import InferenceError
from ..lazy import lazy
from .format import FormattedPrompt, opens_thought, segments_of
from .hermes import told_in_texts
from .tags import NO_THOUGHT, THOUGHT, Segment, Template, render

if TYPE_CHECKING:
    from ..chat_templates import ChatTemplate
    from .conversation import Conversation
    from .format import PromptTokens

__all__ = ["NamedFormat", "RawFormat", "tags_are_tokens"]

logger = logging.getLogger("hivellm_lite")


class NamedFormat:
    """A format of `TEMPLATES`.

    ``thoughts`` gives the chat template that says how an answer without a thought begins.
    """

    end_token = None

    def __init__(
        self,
        template: Template,
        model: PromptTokens,
        origin: str,
        thoughts: Callable[[], ChatTemplate | None] = lambda: None,
    ) -> None:
        self.origin = origin
        self.stop = template.stop
        self._template = template
        self._model = model
        self._thoughts = thoughts
        if template.tags_are_tokens and not tags_are_tokens(template, model):
            logger.warning(
                "the tags of %s are no tokens of this base: they are sent as text", template.name
            )

    def prompt(self, conversation: Conversation) -> FormattedPrompt:
        said = _in_texts(conversation, self._template.name)
        prefix = self._prefixes[conversation.thinking]
        turns = [(message.role, message.content) for message in said.messages]
        answer = segments_of([(prefix, None)], self._model)
        segments = render(self._template, turns, answer_prefix=answer)
        return FormattedPrompt(tuple(segments), True, opens_thought(prefix))

    @lazy
    def _prefixes(self) -> dict[bool, str]:
        """The text before an answer, by whether the model may think."""
        if self._model.special_token(THOUGHT) is None:
            return {False: "", True: ""}
        template = self._thoughts()
        off, on = (None if template is None else self._tail(template, on) for on in (False, True))
        if off is None or on is None:
            return {False: NO_THOUGHT, True: ""}
        return {False: off, True: on}

    @staticmethod
    def _tail(template: ChatTemplate, thinking: bool) -> str | None:
        """The thought that the template writes before an answer; None if the template fails."""
        from ..chat_templates import ChatTemplateError

        try:
            parts = template.render([{"role": "user", "content": "x"}], thinking=thinking).parts
        except ChatTemplateError:
            return None
        tail = parts[-1][0] if parts and parts[-1][1] is None else ""
        _, tag, rest = tail.partition(THOUGHT)
        return tag + rest


class RawFormat:
    """The texts of the messages as they are; names of control tokens in them count."""

    origin = "raw, as asked for"
    stop = None
    end_token = None

    def __init__(self, model: PromptTokens) -> None:
        self._model = model

    def prompt(self, conversation: Conversation) -> FormattedPrompt:
        said = _in_texts(conversation, "raw")
        text = "".join(message.content for message in said.messages)
        segments = [Segment(part, control) for part, control in self._model.named_parts(text)]
        first = segments[0] if segments else Segment("")
        begins = first.control and self._model.special_token(first.text) == self._model.begin_token
        return FormattedPrompt(tuple(segments), not begins, opens_thought(text))


def tags_are_tokens(template: Template, model: PromptTokens) -> bool:
    """Whether all tags of a named format are tokens of this model."""
    tags = (text for text in (*template.begin, *template.end) if text.startswith("<"))
    return all(model.special_token(tag) is not None for tag in tags)


def _in_texts(conversation: Conversation, name: str) -> Conversation:
    """The conversation as texts of messages, which is all that the named formats know."""
    if conversation.documents:
        raise InferenceError(
            f"the prompt template {name!r} has no place for documents\n"
            "Write them into the question, or use a base whose chat template has one."
        )
    return told_in_texts(conversation) if conversation.has_calls else conversation

r"""A chat template: from a conversation to the text that a model expects.

Usage::

    template = ChatTemplate(source, tokens={"bos_token": "<s>"})
    rendered = template.render([{"role": "user", "content": "Hi"}])
    rendered.parts      # (("<|user|>\n", None), ("Hi", 0), ("<|end|>\n<|assistant|>\n", None))

This package knows nothing of models, vocabularies or files.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import InferenceError
from .budget import Budget, TemplateLimitError
from .environment import GuardedEnvironment
from .marked_text import join, mark, marks_of

__all__ = ["ChatTemplate", "ChatTemplateError", "Rendered", "TemplateRefusal"]

MAX_SOURCE = 100_000
"""The most characters of a template; the longest published template has under 20,000."""


class ChatTemplateError(InferenceError):
    """A chat template cannot be run."""


class TemplateRefusal(ChatTemplateError):
    """A chat template refuses this conversation, by ``raise_exception``."""


@dataclass(frozen=True)
class Rendered:
    """The text of a conversation.

    ``parts`` are its pieces, each with the index of its message, or None for the template's
    own text. ``mixed_in`` names an operation of the template after which the template's text
    and a message's could not be told apart; such text counts as the message's.
    """

    parts: tuple[tuple[str, int | None], ...]
    mixed_in: str | None = None

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.parts)

    @property
    def messages(self) -> frozenset[int]:
        """The messages that appear in the text, at least in part."""
        return frozenset(origin for _, origin in self.parts if origin is not None)


class ChatTemplate:
    """A compiled template. Thread-safe.

    ``tokens`` are variables such as ``bos_token``. ``name`` tells readers of an error where
    the template comes from. Raises ChatTemplateError for a source that is not a template or
    is too large.
    """

    def __init__(
        self, source: str, *, tokens: Mapping[str, str] | None = None, name: str = "chat template"
    ) -> None:
        self.name = name
        self.source = source
        self._tokens = dict(tokens or {})
        self._environment, self._template = _compiled(source, name)

    def render(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        thinking: bool = False,
        add_generation_prompt: bool = True,
    ) -> Rendered:
        """The conversation and, with ``add_generation_prompt``, the beginning of the answer.

        Raises TemplateRefusal if the template refuses the conversation, and ChatTemplateError
        if it fails or does too much work.
        """
        marked = [
            {key: mark(value, index) if key != "role" else value for key, value in message.items()}
            for index, message in enumerate(messages)
        ]
        characters = sum(len(value) for message in messages for value in message.values())
        budget = Budget(characters, len(messages))
        variables: dict[str, Any] = {
            **self._tokens,
            "messages": marked,
            "tools": None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            "enable_thinking": thinking,
        }
        self._environment.paying(budget)
        try:
            context = self._template.new_context(variables)
            text = join(self._template.root_render_func(context))
        except Exception as error:
            raise _error(error, self.name) from error
        finally:
            self._environment.paying(None)
        parts = []
        place = 0
        for length, origin in marks_of(text):
            parts.append((str.__getitem__(text, slice(place, place + length)), origin))
            place += length
        return Rendered(tuple(parts), budget.mixed_in)


@functools.lru_cache(maxsize=32)
def _compiled(source: str, name: str) -> tuple[GuardedEnvironment, Any]:
    if len(source) > MAX_SOURCE:
        raise ChatTemplateError(
            f"{name} has {len(source)} characters; at most {MAX_SOURCE} are allowed\n{ADVICE}"
        )
    environment = GuardedEnvironment()
    try:
        return environment, environment.from_string(environment.guarded(source))
    except Exception as error:
        raise _error(error, name) from error


ADVICE = "Give template='chatml' or template='hivellm-tags' to write prompts without it."


def _error(error: Exception, name: str) -> ChatTemplateError:
    """The error for callers: the template's own words, or what it did wrong."""
    from jinja2.exceptions import TemplateError, TemplateSyntaxError

    # only a text: printing another value may take for ever
    message = error.args[0] if error.args and isinstance(error.args[0], str) else ""
    said = f"{type(error).__name__}: {message[:300]}"
    if type(error) is TemplateError:
        return TemplateRefusal(f"{name} refuses this conversation: {message[:300]}\n{ADVICE}")
    if isinstance(error, TemplateLimitError):
        return ChatTemplateError(f"{name} was stopped: {error}\n{ADVICE}")
    if isinstance(error, TemplateSyntaxError):
        return ChatTemplateError(f"{name} cannot be read: line {error.lineno}: {said}\n{ADVICE}")
    return ChatTemplateError(f"{name} fails: {said}\n{ADVICE}")

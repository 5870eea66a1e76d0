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
from .marked_text import Origin, join, marks_of
from .values import ValueMarker

__all__ = ["ChatTemplate", "ChatTemplateError", "Rendered", "TemplateRefusal"]

MAX_SOURCE = 100_000
"""The most characters of a template; the longest published template has under 20,000."""


THINKING_SWITCHES = ("enable_thinking", "thinking")
"""The variables by which published templates switch a thought on or off."""

_REASONING = ("reasoning_content", "thinking", "reasoning")
"""Names of the thought in an answer of the past. Source: Transformers."""


class ChatTemplateError(InferenceError):
    """A chat template cannot be run."""


class TemplateRefusal(ChatTemplateError):
    """A chat template refuses this conversation, by ``raise_exception``."""


@dataclass(frozen=True)
class Rendered:
    """The text of a conversation.

    ``parts`` are its pieces, each with its origin: the index of a message, ``tools``,
    ``documents`` or ``variables``, and None for the template's own text. ``mixed_in`` names an
    operation of the template after which the template's text and another could not be told
    apart; such text counts as the other.
    """

    parts: tuple[tuple[str, Origin], ...]
    mixed_in: str | None = None

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.parts)

    @property
    def origins(self) -> frozenset[int | str]:
        """What appears in the text, at least in part."""
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

    def reads(self, variable: str) -> bool:
        """Whether the template does something with ``variable``, such as ``tools``."""
        return variable in _variables(self.source)

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool = False,
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> Rendered:
        """The conversation and, with ``add_generation_prompt``, the beginning of the answer.

        All values are plain JSON values. ``variables`` are more variables of the template, and
        come before ``thinking``. Raises TemplateRefusal if the template refuses the conversation,
        and ChatTemplateError if it fails or does too much work.
        """
        marker = ValueMarker()
        marked: dict[str, Any] = {
            **self._tokens,
            **dict.fromkeys(THINKING_SWITCHES, thinking),
            **marker.marked(dict(variables or {}), "variables"),
            "messages": [
                marker.message(_with_reasoning(message), index)
                for index, message in enumerate(messages)
            ],
            "tools": marker.marked(tools, "tools"),
            "documents": marker.marked(documents, "documents"),
            "add_generation_prompt": add_generation_prompt,
        }
        budget = Budget(marker.characters, len(messages))
        self._environment.paying(budget)
        try:
            context = self._template.new_context(marked)
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


def _with_reasoning(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message with its thought under all the names that templates read, as in Transformers."""
    found = next((message[name] for name in _REASONING if message.get(name) is not None), None)
    if found is None:
        return message
    return {"thinking": found, **message, "reasoning_content": found}


@functools.lru_cache(maxsize=32)
def _variables(source: str) -> frozenset[str]:
    """The variables that a template reads and does not set."""
    from jinja2.meta import find_undeclared_variables

    return frozenset(find_undeclared_variables(GuardedEnvironment().parse(source)))


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

"""What a form of prompts is, whoever writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .tags import Segment, merged

if TYPE_CHECKING:
    from .conversation import Conversation

__all__ = ["FormattedPrompt", "PromptFormat", "PromptTokens", "opens_thought", "segments_of"]

_THOUGHT_BEGUN = re.compile(r"<think>\s*\Z")


@dataclass(frozen=True)
class FormattedPrompt:
    """A conversation up to the place where the answer begins.

    ``begin``: whether the model's begin-of-text token comes first. ``in_thought``: whether
    the answer begins inside a thought that the template has opened.
    """

    segments: tuple[Segment, ...]
    begin: bool
    in_thought: bool


class PromptTokens(Protocol):
    """What a form of prompts asks of a model. A `Model` answers it, and so do the files of one."""

    @property
    def n_vocab(self) -> int: ...

    @property
    def begin_token(self) -> int | None: ...

    def special_token(self, text: str) -> int | None: ...

    def named_parts(self, text: str) -> list[tuple[str, bool]]: ...

    def piece(self, token: int, *, special: bool = False) -> bytes: ...

    def is_end(self, token: int) -> bool: ...

    def metadata(self, key: str) -> str | None: ...


class PromptFormat(Protocol):
    """A form of prompts."""

    @property
    def origin(self) -> str:
        """Where the form comes from, in words."""

    @property
    def stop(self) -> str | None:
        """Text that ends an answer; None if a token ends it."""

    @property
    def end_token(self) -> int | None:
        """The token that ends a turn, if llama.cpp does not treat it as an end."""

    def prompt(self, conversation: Conversation) -> FormattedPrompt:
        """The conversation in this form. Raises InferenceError if that is not possible."""


def opens_thought(text: str) -> bool:
    """Whether what follows ``text`` is a thought."""
    return _THOUGHT_BEGUN.search(text) is not None


def segments_of(parts: Iterable[tuple[str, object]], model: PromptTokens) -> list[Segment]:
    """Segments of texts and their origins: names of control tokens count only where there is none,
    in the form's own text.
    """
    found: list[Segment] = []
    for text, origin in parts:
        if origin is None:
            found += [Segment(part, control) for part, control in model.named_parts(text)]
        else:
            found.append(Segment(text))
    return merged(found)

"""An example of an expert's prompt, to be looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import ExpertError
from ..package.files import file_in, relative_to_root
from .conversation import Conversation, Message
from .formats import PromptFormats, describe_format
from .tags import TEMPLATES, Segment, merged, system_message
from .template_files import package_template
from .token_files import TOKEN_FILES, TokenFile, tokens_in_folder, tokens_in_gguf

if TYPE_CHECKING:
    from ..package.opening import Package
    from .format import FormattedPrompt

__all__ = ["PromptExample", "example_of"]

MAX_CHARACTERS = 20_000
"""The longest example; a template may write far more."""

_SYSTEM, _QUESTION = "Be brief.", "How many users are there?"


@dataclass(frozen=True)
class PromptExample:
    """``origin``: where the form of the prompts comes from. ``tokens``: whose control tokens are
    marked. ``segments``: the prompt, empty where ``problem`` says why there is none.
    """

    origin: str
    tokens: str = "none"
    segments: tuple[Segment, ...] = ()
    problem: str | None = None


def example_of(package: Package, base: Path | None) -> PromptExample:
    """A short conversation as ``package`` would write it.

    ``base``: the GGUF file or Hugging Face folder of its base, if there is one. Without it, the
    package's own files say which tokens are control tokens.
    """
    try:
        own = package_template(package)
        origin = describe_format(package.manifest, own)
    except ExpertError as error:
        return PromptExample(f"cannot be read: {error}")
    try:
        tokens, whose = _tokens(package, base)
        if base is None and own is None and package.manifest.base.prompt_template not in TEMPLATES:
            return PromptExample(origin, problem="the base is needed (--base)")
        form = PromptFormats(package.manifest, tokens, lambda: own).choose(None)
        prompt = form.prompt(_conversation(package))
    except (ExpertError, OSError) as error:
        return PromptExample(origin, problem=str(error))
    segments = _whole(prompt, tokens)
    length = sum(len(segment.text) for segment in segments)
    if length > MAX_CHARACTERS:
        return PromptExample(form.origin, problem=f"a short prompt has {length:,} characters")
    return PromptExample(form.origin, whose, segments)


def _tokens(package: Package, base: Path | None) -> tuple[TokenFile, str]:
    """The control tokens, and whose they are."""
    if base is not None:
        found = tokens_in_folder(base) if base.is_dir() else tokens_in_gguf(base)
        return found or TokenFile({}, {}, {}), f"the base's, {base}"
    root = package.root
    for folder in dict.fromkeys((package.adapter.weights.parent, root)):
        for name in TOKEN_FILES:  # raises for a link that leads out of the package
            file_in(root, f"{relative_to_root(folder, root)}/{name}")
        found = tokens_in_folder(folder)
        if found is not None:
            return found.with_tags(), "the package's"
    return TokenFile({}, {}, {}).with_tags(), "ChatML's"


def _conversation(package: Package) -> Conversation:
    said = system_message(package.manifest, None) or _SYSTEM
    return Conversation((Message.of("system", said), Message.of("user", _QUESTION)))


def _whole(prompt: FormattedPrompt, tokens: TokenFile) -> tuple[Segment, ...]:
    """The prompt with its begin-of-text token, if it has one. What is no token is text."""
    first = tokens.begin_token if prompt.begin else None
    begin = (
        [tokens.piece(first, special=True).decode("utf-8", "replace")] if first is not None else []
    )
    segments = [*(Segment(name, control=True) for name in begin), *prompt.segments]
    return tuple(
        merged(
            replace(one, control=one.control and tokens.special_token(one.text) is not None)
            for one in segments
        )
    )

"""Chooses the form of an expert's prompts on its base, and writes conversations in that form.

The first of these decides: the format that the manifest names, if it is one of `TEMPLATES`;
the chat template in the package; the base's chat template; ChatML, if its tags are tokens
of the base.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..errors import ConversionError, InferenceError, PackageError
from ..lazy import lazy
from .tags import NO_THOUGHT, RAW, TEMPLATES, Segment, Template, merged, render
from .template_files import base_template

if TYPE_CHECKING:
    from ..chat_templates import ChatTemplate, Rendered
    from ..engine import Model
    from ..manifest.records import Manifest
    from .template_files import TemplateFile

__all__ = ["FormattedPrompt", "PromptFormat", "PromptFormats", "describe_format"]

logger = logging.getLogger("hivellm_lite")

Turns = Sequence[tuple[str, str]]
"""Role and content of each message."""

_THOUGHT_BEGUN = re.compile(r"<think>\s*\Z")
_TAG = re.compile(r"\s*(<[^<>\s]{1,48}>|\[/?[A-Z_]{1,30}\])")


@dataclass(frozen=True)
class FormattedPrompt:
    """A conversation up to the place where the answer begins.

    ``begin``: whether the model's begin-of-text token comes first. ``in_thought``: whether
    the answer begins inside a thought that the template has opened.
    """

    segments: tuple[Segment, ...]
    begin: bool
    in_thought: bool


class PromptFormat(Protocol):
    """A form of prompts."""

    @property
    def stop(self) -> str | None:
        """Text that ends an answer; None if a token ends it."""

    @property
    def end_token(self) -> int | None:
        """The token that ends a turn, if llama.cpp does not treat it as an end."""

    def prompt(self, turns: Turns, *, thinking: bool) -> FormattedPrompt:
        """The conversation in this form. Raises InferenceError if that is not possible."""


class PromptFormats:
    """The formats of one expert on one model. ``read_own`` reads the package's template."""

    def __init__(
        self,
        manifest: Manifest,
        model: Model,
        read_own: Callable[[], TemplateFile | None] = lambda: None,
    ) -> None:
        self._manifest = manifest
        self._model = model
        self._read_own = read_own
        self._known: dict[str | None, PromptFormat] = {}

    def choose(self, name: str | None) -> PromptFormat:
        """The format with this name; without a name, the expert's own format.

        Raises ValueError for an unknown name, InferenceError if the expert has no format,
        and the errors of a chat template.
        """
        if name not in self._known:
            self._known[name] = self._make(name)
        return self._known[name]

    def _make(self, name: str | None) -> PromptFormat:
        named = name or self._manifest.base.prompt_template
        if name == RAW:
            return _Raw(self._model)
        if named in TEMPLATES:
            return _Named(TEMPLATES[named], self._model, self._thoughts)
        if name is not None:
            raise ValueError(f"template={name!r}: must be one of {', '.join((*TEMPLATES, RAW))}")
        template = self._template()
        if template is not None:
            return _Own(template, self._model)
        chatml = TEMPLATES["chatml"]
        if _tags_are_tokens(chatml, self._model):
            return _Named(chatml, self._model)
        said = f"the manifest's prompt_template {named!r} is not known, and " if named else ""
        raise InferenceError(
            f"{self._manifest.identity}: {said}neither the package nor the base has a chat "
            "template, and the tags of ChatML are not tokens of this base\n"
            f"Give template={' or template='.join(map(repr, TEMPLATES))}."
        )

    def _template(self) -> ChatTemplate | None:
        found = self._read_own() or base_template(self._model)
        return (
            _chat_template(found.source, found.name, tuple(found.tokens.items())) if found else None
        )

    def _thoughts(self) -> ChatTemplate | None:
        """The chat template that says how thoughts are written, if there is one."""
        try:
            return self._template()
        except (ConversionError, PackageError, InferenceError) as error:
            logger.debug("no chat template says how thoughts are written: %s", error)
            return None


@functools.lru_cache(maxsize=32)
def _chat_template(source: str, name: str, tokens: tuple[tuple[str, str], ...]) -> ChatTemplate:
    from ..chat_templates import ChatTemplate

    return ChatTemplate(source, tokens=dict(tokens), name=name)


def describe_format(manifest: Manifest, own: TemplateFile | None) -> str:
    """The format in words, as far as it can be known without a base."""
    named = manifest.base.prompt_template
    if named in TEMPLATES:
        return f"{named}, named by the manifest"
    unknown = f"; {named!r} in the manifest is not known" if named else ""
    whose = own.name if own is not None else "the base's chat template, or ChatML without one"
    return whose + unknown


# --- named formats -------------------------------------------------------------------


class _Named:
    """A format of `TEMPLATES`.

    ``thoughts`` gives the chat template that says how an answer without a thought begins.
    """

    end_token = None

    def __init__(
        self,
        template: Template,
        model: Model,
        thoughts: Callable[[], ChatTemplate | None] = lambda: None,
    ) -> None:
        self._template = template
        self._model = model
        self._thoughts = thoughts
        self.stop = template.stop
        if template.tags_are_tokens and not _tags_are_tokens(template, model):
            logger.warning(
                "the tags of %s are no tokens of this base: they are sent as text", template.name
            )

    def prompt(self, turns: Turns, *, thinking: bool) -> FormattedPrompt:
        prefix = self._prefixes[thinking]
        segments = render(self._template, turns, answer_prefix=prefix)
        return FormattedPrompt(tuple(segments), True, _is_begun("".join(prefix)))

    @lazy
    def _prefixes(self) -> dict[bool, tuple[str, ...]]:
        """The text before an answer, by whether the model may think."""
        if self._model.special_token(NO_THOUGHT[0]) is None:
            return {False: (), True: ()}
        template = self._thoughts()
        tails = [None if template is None else self._tail(template, on) for on in (False, True)]
        if None in tails:
            return {False: NO_THOUGHT, True: ()}
        off, on = (self._model.named_parts(tail or "") for tail in tails)
        return {
            False: tuple(text for text, _ in off),
            True: tuple(text for text, _ in on),
        }

    @staticmethod
    def _tail(template: ChatTemplate, thinking: bool) -> str | None:
        """The thought that the template writes before an answer; None if the template fails."""
        from ..chat_templates import ChatTemplateError

        try:
            parts = template.render([{"role": "user", "content": "x"}], thinking=thinking).parts
        except ChatTemplateError:
            return None
        tail = parts[-1][0] if parts and parts[-1][1] is None else ""
        _, tag, rest = tail.partition(NO_THOUGHT[0])
        return tag + rest


def _tags_are_tokens(template: Template, model: Model) -> bool:
    tags = (text for text in (*template.begin, *template.end) if text.startswith("<"))
    return all(model.special_token(tag) is not None for tag in tags)


def _is_begun(text: str) -> bool:
    return _THOUGHT_BEGUN.search(text) is not None


class _Raw:
    """The texts of the messages as they are; names of control tokens in them count."""

    stop = None
    end_token = None

    def __init__(self, model: Model) -> None:
        self._model = model

    def prompt(self, turns: Turns, *, thinking: bool) -> FormattedPrompt:  # noqa: ARG002
        text = "".join(content for _, content in turns)
        segments = [Segment(part, control) for part, control in self._model.named_parts(text)]
        first = segments[0] if segments else Segment("")
        begins = first.control and self._model.special_token(first.text) == self._model.begin_token
        return FormattedPrompt(tuple(segments), not begins, _is_begun(text))


# --- chat templates ------------------------------------------------------------------


class _Own:
    """A chat template of the package or the base."""

    def __init__(self, template: ChatTemplate, model: Model) -> None:
        self._template = template
        self._model = model
        self._said: set[str] = set()

    def prompt(self, turns: Turns, *, thinking: bool) -> FormattedPrompt:
        rendered = self._rendered(turns, thinking)
        last, origin = rendered.parts[-1] if rendered.parts else ("", None)
        return FormattedPrompt(
            tuple(_segments(rendered.parts, self._model)), False, origin is None and _is_begun(last)
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

    def _rendered(self, turns: Turns, thinking: bool) -> Rendered:
        """The conversation. A system message that the template cannot write goes into the first
        question.
        """
        from ..chat_templates import TemplateRefusal

        refusal = None
        try:
            rendered = self._render(turns, thinking)
            missing = [
                index
                for index, (_, content) in enumerate(turns)
                if content.strip() and index not in rendered.messages
            ]
        except TemplateRefusal as error:
            refusal, missing = error, [0]
        roles = [role for role, _ in turns[:2]]
        if 0 in missing and roles == ["system", "user"]:
            (_, system), (_, question), *others = turns
            folded = [("user", f"{system}\n\n{question}"), *others]
            try:
                rendered = self._render(folded, thinking)
            except TemplateRefusal:
                pass  # it refuses something else: its first refusal counts
            else:
                self._warn("has no system message: it is sent with the first question")
                return rendered
        if refusal is not None:
            raise refusal
        for index in missing:
            self._warn(f"leaves out what '{turns[index][0]}' says")
        if rendered.mixed_in:
            self._warn(
                f"cannot be followed through '{rendered.mixed_in}': tags in that text are sent as "
                "ordinary text"
            )
        return rendered

    def _render(self, turns: Turns, thinking: bool) -> Rendered:
        messages = [{"role": role, "content": content} for role, content in turns]
        return self._template.render(messages, thinking=thinking)

    def _warn(self, what: str) -> None:
        """Warn, but only once for each text."""
        if what not in self._said:
            self._said.add(what)
            logger.warning("%s %s", self._template.name, what)


def _segments(parts: Iterable[tuple[str, int | None]], model: Model) -> list[Segment]:
    """Names of control tokens count only in the template's own text."""
    found: list[Segment] = []
    for text, origin in parts:
        if origin is None:
            found += [Segment(part, control) for part, control in model.named_parts(text)]
        else:
            found.append(Segment(text))
    return merged(found)

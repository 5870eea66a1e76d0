"""Chooses the form of an expert's prompts on its base.

The first of these decides: the format or the file that a caller names; the format that the
manifest names, if it is one of `TEMPLATES`; the chat template in the package; the base's chat
template; ChatML, if its tags are tokens of the base.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..errors import ConversionError, InferenceError, PackageError
from .named_formats import NamedFormat, RawFormat, tags_are_tokens
from .tags import RAW, TEMPLATES
from .template_files import base_template, read_template, tokens_of_base
from .template_format import TemplateFormat

if TYPE_CHECKING:
    from ..chat_templates import ChatTemplate
    from ..manifest.records import Manifest
    from .format import PromptFormat, PromptTokens
    from .template_files import TemplateFile

__all__ = ["PromptFormats", "describe_format", "import_for_prompts"]

logger = logging.getLogger("hivellm_lite")

MAX_FILES = 8
"""Templates of users that are kept for the next request."""


class PromptFormats:
    """The formats of one expert on one model. ``read_own`` reads the package's template."""

    def __init__(
        self,
        manifest: Manifest,
        model: PromptTokens,
        read_own: Callable[[], TemplateFile | None] = lambda: None,
    ) -> None:
        self._manifest = manifest
        self._model = model
        self._read_own = read_own
        self._known: dict[str | None, PromptFormat] = {}
        self._of_source = functools.lru_cache(maxsize=MAX_FILES)(self._from_source)

    def choose(self, name: str | os.PathLike[str] | None) -> PromptFormat:
        """The format with this name, or that of a Jinja file; the expert's own without either.

        Raises ValueError for an unknown name, InferenceError if the expert has no format or the
        file cannot be read, and the errors of a chat template.
        """
        if isinstance(name, os.PathLike):
            return self._of_source(*read_template(name))
        if name not in self._known:
            self._known[name] = self._make(name)
        return self._known[name]

    def _make(self, name: str | None) -> PromptFormat:
        named = name or self._manifest.base.prompt_template
        if name == RAW:
            return RawFormat(self._model)
        if named in TEMPLATES:
            how = "as asked for" if name else "named by the manifest"
            return NamedFormat(TEMPLATES[named], self._model, f"{named}, {how}", self._thoughts)
        if name is not None:
            raise ValueError(
                f"template={name!r}: must be one of {', '.join((*TEMPLATES, RAW))}, "
                "or a Jinja file: template=Path('…') (--template @FILE)"
            )
        found = self._template_file()
        if found is not None:
            return TemplateFormat(
                self._default(found), self._model, str(found), self._for_tools(found)
            )
        chatml = TEMPLATES["chatml"]
        if tags_are_tokens(chatml, self._model):
            return NamedFormat(chatml, self._model, "chatml, whose tags are tokens of the base")
        said = f"the manifest's prompt_template {named!r} is not known, and " if named else ""
        raise InferenceError(
            f"{self._manifest.identity}: {said}neither the package nor the base has a chat "
            "template, and the tags of ChatML are not tokens of this base\n"
            f"Give template={' or template='.join(map(repr, TEMPLATES))}, "
            "or a Jinja file: template=Path('…') (--template @FILE)."
        )

    def _from_source(self, source: str, name: str) -> PromptFormat:
        own = self._read_own()
        template = self._compiled(source, name, own.tokens if own is not None else None)
        return TemplateFormat(template, self._model, f"{name}, as asked for")

    def _template_file(self) -> TemplateFile | None:
        return self._read_own() or base_template(self._model)

    def _compiled(self, source: str, name: str, tokens: Mapping[str, str] | None) -> ChatTemplate:
        known = tokens_of_base(self._model) if tokens is None else tokens
        return _chat_template(source, name, tuple(known.items()))

    def _default(self, found: TemplateFile) -> ChatTemplate:
        return self._compiled(found.source, found.name, found.tokens)

    def _for_tools(self, found: TemplateFile) -> ChatTemplate | None:
        if found.tool_use is None:
            return None
        return self._compiled(found.tool_use, found.name, found.tokens)

    def _thoughts(self) -> ChatTemplate | None:
        """The chat template that says how thoughts are written, if there is one."""
        try:
            found = self._template_file()
            return self._default(found) if found is not None else None
        except (ConversionError, PackageError, InferenceError) as error:
            logger.debug("no chat template says how thoughts are written: %s", error)
            return None


@functools.lru_cache(maxsize=32)
def _chat_template(source: str, name: str, tokens: tuple[tuple[str, str], ...]) -> ChatTemplate:
    from ..chat_templates import ChatTemplate

    return ChatTemplate(source, tokens=dict(tokens), name=name)


def import_for_prompts(manifest: Manifest) -> None:
    """Import Jinja ahead of the first prompt, unless the manifest names a format without it."""
    if manifest.base.prompt_template not in TEMPLATES:
        from ..chat_templates import ChatTemplate  # noqa: F401


def describe_format(manifest: Manifest, own: TemplateFile | None) -> str:
    """The format in words, as far as it can be known without a base."""
    named = manifest.base.prompt_template
    if named in TEMPLATES:
        return f"{named}, named by the manifest"
    unknown = f"; {named!r} in the manifest is not known" if named else ""
    whose = str(own) if own is not None else "the base's chat template, or ChatML without one"
    return whose + unknown

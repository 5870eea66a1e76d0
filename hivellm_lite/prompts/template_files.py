"""Finds the chat template of a package or of a base model, or reads the file that a user names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..converters.tokenizers.chat_template import (
    CHAT_TEMPLATE_FILES,
    TOOL_USE,
    find_chat_templates,
)
from ..converters.tokenizers.special_tokens import read_tokenizer_options
from ..errors import InferenceError
from ..package.files import file_in, relative_to_root
from ..tokenization.rules import UNNAMED_KEY
from ..user_paths import shown_path, user_path

if TYPE_CHECKING:
    from ..package.opening import Package
    from .format import PromptTokens

__all__ = [
    "SPECIAL_TOKENS",
    "TEMPLATE_FILE_KEY",
    "TEMPLATE_KEY",
    "TemplateFile",
    "base_template",
    "package_template",
    "read_template",
    "token_key",
    "tokens_of_base",
]

_FILES = ("tokenizer_config.json", "special_tokens_map.json", *CHAT_TEMPLATE_FILES)

SPECIAL_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")

TEMPLATE_KEY = "tokenizer.chat_template"
"""The key of GGUF."""

TEMPLATE_FILE_KEY = "tokenizer.hivellm.chat_template_file"
"""The file that the template of a base is from, where that is known."""

MAX_CHARACTERS = 100_000
"""Limit of a file that a user names."""


@dataclass(frozen=True)
class TemplateFile:
    """A chat template: its ``source``, where it comes from, and variables such as ``bos_token``,
    which are the base's if they are None.

    ``name`` is for readers of errors, such as "the base's chat template". ``place`` says more: the
    file's name, or the key of GGUF. ``tool_use`` is the source for conversations with tools, where
    that is another one.
    """

    source: str
    name: str
    tokens: Mapping[str, str] | None = None
    place: str = ""
    tool_use: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.place})" if self.place else self.name


def package_template(package: Package) -> TemplateFile | None:
    """The template in a package's tokenizer files, beside the adapter or in the top folder.

    Raises PackageError or ConversionError for files that cannot be read.
    """
    root = package.root
    for folder in dict.fromkeys((package.adapter.weights.parent, root)):
        place = relative_to_root(folder, root)
        listed = [name for name in _FILES if file_in(root, f"{place}/{name}") is not None]
        if not listed:
            continue
        options = read_tokenizer_options(folder)
        found = find_chat_templates(folder, options)
        if found is not None and found.default is not None:
            return TemplateFile(
                source=found.default,
                name="the package's chat template",
                tokens=_named_tokens(options) if options else None,
                place=found.file if place == "." else f"{place}/{found.file}",
                tool_use=found.named.get(TOOL_USE),
            )
    return None


def base_template(model: PromptTokens) -> TemplateFile | None:
    """The template in the metadata of a loaded base."""
    source = model.metadata(TEMPLATE_KEY)
    if not source:
        return None
    return TemplateFile(
        source=source,
        name="the base's chat template",
        tokens=tokens_of_base(model),
        place=model.metadata(TEMPLATE_FILE_KEY) or TEMPLATE_KEY,
        tool_use=model.metadata(f"{TEMPLATE_KEY}.{TOOL_USE}"),
    )


def read_template(path: os.PathLike[str]) -> tuple[str, str]:
    """The source and the name of a template that a user names.

    Raises InferenceError for a file that cannot be read.
    """
    place = user_path(path)
    try:
        with place.open(encoding="utf-8") as file:
            source = file.read(MAX_CHARACTERS + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InferenceError(f"template: cannot read {shown_path(place)}: {reason}") from None
    if len(source) > MAX_CHARACTERS:
        raise InferenceError(f"template: {shown_path(place)} has over {MAX_CHARACTERS} characters")
    return source, f"the chat template {place.name}"


def tokens_of_base(model: PromptTokens) -> dict[str, str]:
    """``bos_token`` and the like, by the metadata of a loaded base."""
    unnamed = (model.metadata(UNNAMED_KEY) or "").split()
    return {
        f"{kind}_token": model.piece(int(found), special=True).decode("utf-8", "replace")
        for kind in SPECIAL_TOKENS
        if kind not in unnamed
        and (found := model.metadata(token_key(kind)))
        and found.isdecimal()
        and int(found) < model.n_vocab  # llama.cpp ignores ids beyond, too
    }


_GGUF_NAMES = {"unk": "unknown", "sep": "seperator", "pad": "padding"}
"""GGUF's names for these tokens, misspelling included."""


def token_key(kind: str) -> str:
    """The key of GGUF for the token of a kind such as ``bos``."""
    return f"tokenizer.ggml.{_GGUF_NAMES.get(kind, kind)}_token_id"


def _named_tokens(options: Mapping[str, Any]) -> dict[str, str]:
    """``bos_token`` and the like, which are texts or objects with the text as ``content``."""
    tokens = {}
    for kind in SPECIAL_TOKENS:
        value = options.get(f"{kind}_token")
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            tokens[f"{kind}_token"] = text
    return tokens

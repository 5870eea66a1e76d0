"""Finds the chat template of a package or of a base model.

Source: ``save_chat_templates`` in Transformers' ``tokenization_utils_base.py``, and
``add_chat_template`` in gguf-py of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..converters.json_file import read_json
from ..converters.tokenizers.special_tokens import TEMPLATE_FOLDERS, read_chat_template
from ..package.files import file_in, relative_to_root

if TYPE_CHECKING:
    from ..engine import Model
    from ..package.opening import Package

__all__ = ["TemplateFile", "base_template", "package_template"]

_FILES = (
    *("tokenizer_config.json", "chat_template.jinja", "chat_template.json"),
    *(f"{folder}/default.jinja" for folder in TEMPLATE_FOLDERS),
)

_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True)
class TemplateFile:
    """A chat template: its ``source``, where it comes from, and variables such as ``bos_token``."""

    source: str
    name: str
    tokens: Mapping[str, str] = field(default_factory=dict)


def package_template(package: Package) -> TemplateFile | None:
    """The template in a package's tokenizer files, beside the adapter or in the top folder.

    Raises PackageError or ConversionError for files that cannot be read.
    """
    root = package.root
    for folder in dict.fromkeys((package.adapter.weights.parent, root)):
        place = relative_to_root(folder, root)
        found = [name for name in _FILES if file_in(root, f"{place}/{name}") is not None]
        if not found:
            continue
        config = folder / _FILES[0]
        options = read_json(config) if config.is_file() else {}
        source = _default(read_chat_template(folder, options))
        if source is not None:
            return TemplateFile(source, "the package's chat template", _named_tokens(options))
    return None


def base_template(model: Model) -> TemplateFile | None:
    """The template in the metadata of a loaded base."""
    source = model.metadata("tokenizer.chat_template")
    if not source:
        return None
    tokens = {
        f"{kind}_token": model.piece(int(found), special=True).decode("utf-8", "replace")
        for kind in _TOKENS
        if (found := model.metadata(f"tokenizer.ggml.{_GGUF_NAMES.get(kind, kind)}_token_id"))
        and found.isdecimal()
        and int(found) < model.n_vocab  # llama.cpp ignores ids beyond, too
    }
    return TemplateFile(source, "the base's chat template", tokens)


_GGUF_NAMES = {"unk": "unknown", "sep": "seperator", "pad": "padding"}
"""GGUF's names for these tokens, misspelling included."""


def _default(template: str | list[dict[str, str]] | None) -> str | None:
    """The template for conversations, if there are several for different purposes."""
    if template is None or isinstance(template, str):
        return template
    named = {entry["name"]: entry["template"] for entry in template}
    return named.get("default") or (next(iter(named.values())) if len(named) == 1 else None)


def _named_tokens(options: Mapping[str, Any]) -> dict[str, str]:
    """``bos_token`` and the like, which are texts or objects with the text as ``content``."""
    tokens = {}
    for kind in _TOKENS:
        value = options.get(f"{kind}_token")
        text = value.get("content") if isinstance(value, dict) else value
        if isinstance(text, str):
            tokens[f"{kind}_token"] = text
    return tokens

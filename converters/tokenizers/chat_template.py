"""Finds the chat template among the files of a tokenizer. Templates are never run here.

Source: ``save_chat_templates`` and ``from_pretrained`` in Transformers'
``tokenization_utils_base.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConversionError
from ..json_file import read_json

__all__ = ["CHAT_TEMPLATE_FILES", "DEFAULT", "TOOL_USE", "FoundTemplates", "find_chat_templates"]

MAX_TEMPLATE_BYTES = 1_000_000
"""Limit of a chat template. The longest published one takes about 20 kB."""

MAX_NAMED = 100
"""Templates for different purposes in one file; published tokenizers have three at most."""

DEFAULT, TOOL_USE = "default", "tool_use"
"""The templates that Transformers chooses by itself: without tools, and with tools."""

_CONFIG, _JSON = "tokenizer_config.json", "chat_template.json"
_JINJA = (
    ("chat_template.jinja", DEFAULT),
    *(
        (f"{folder}/{name}.jinja", name)
        for folder in ("chat_templates", "additional_chat_templates")
        for name in (DEFAULT, TOOL_USE)
    ),
)

CHAT_TEMPLATE_FILES = (*(path for path, _ in _JINJA), _JSON)
"""Files that hold only chat templates; ``tokenizer_config.json`` may hold some, too."""


@dataclass(frozen=True)
class FoundTemplates:
    """Templates by their names, of which most tokenizers have only `DEFAULT`.

    ``file``: where the first one is, seen from the tokenizer's folder.
    """

    named: Mapping[str, str]
    file: str

    @property
    def default(self) -> str | None:
        """The template for conversations; None if there are only templates for other purposes."""
        only = next(iter(self.named.values())) if len(self.named) == 1 else None
        return self.named.get(DEFAULT) or only


def find_chat_templates(folder: Path, options: Mapping[str, Any]) -> FoundTemplates | None:
    """The templates of a tokenizer; None if it has none. ``options``: ``tokenizer_config.json``.

    As in Transformers, ``.jinja`` files precede ``tokenizer_config.json``, which precedes
    ``chat_template.json``. Raises ConversionError for a template that is not text, cannot be
    read, or is too long.
    """
    found: dict[str, str] = {}
    file = None
    for path, name in _JINJA:
        if name not in found and (folder / path).is_file():
            found[name] = _read_jinja(folder / path)
            file = file or path
    if DEFAULT not in found:
        source, given = _CONFIG, options.get("chat_template")
        if given is None and (folder / _JSON).is_file():
            source, given = _JSON, read_json(folder / _JSON).get("chat_template")
        if given is not None:
            found = {**_named(given, folder / source), **found}
            file = source
    return FoundTemplates(found, file) if file is not None else None


def _named(given: object, path: Path) -> dict[str, str]:
    """A text, or a list of templates with names."""
    listed = given if isinstance(given, list) else [{"name": DEFAULT, "template": given}]
    named: dict[str, str] = {}
    for entry in listed:
        name, template = (
            (entry.get("name"), entry.get("template")) if isinstance(entry, dict) else (None, None)
        )
        if not isinstance(name, str) or not isinstance(template, str):
            raise ConversionError(f"{path}: the chat template is neither text nor a list of them")
        if len(template) > MAX_TEMPLATE_BYTES:
            raise ConversionError(f"{path}: the chat template has over {MAX_TEMPLATE_BYTES} bytes")
        named[name] = template
    if len(named) > MAX_NAMED:
        raise ConversionError(f"{path}: {len(named)} chat templates; at most {MAX_NAMED}")
    return named


def _read_jinja(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_TEMPLATE_BYTES:
            raise ConversionError(f"{path}: the chat template has over {MAX_TEMPLATE_BYTES} bytes")
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise ConversionError(f"cannot read {path}: {error}") from error

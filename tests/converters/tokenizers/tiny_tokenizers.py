"""The tokenizers of the tiny models, with changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hivellm_lite.converters.tokenizers.vocabulary import (
    Vocabulary,
)

from ...support.model_files import change_json, copy_model, vocabulary_in
from ...support.paths import MODELS


def vocabulary(name: str, folder: Path | None = None, **changes: Any) -> Vocabulary:
    """The vocabulary of a tiny model with keys of ``tokenizer.json`` changed."""
    source = MODELS / name
    if folder is not None:
        source = copy_model(name, folder)
        change_json(source / "tokenizer.json", **changes)
    return vocabulary_in(source)


def tokenizer_json(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((MODELS / name / "tokenizer.json").read_text())
    return value

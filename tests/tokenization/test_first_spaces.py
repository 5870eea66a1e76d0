"""Where spaces stand in front of SentencePiece texts, for every form of a tokenizer.

``scripts/fixture_spaces.py`` has recorded what Transformers does.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hivellm_lite.converters.base import convert_base

from hivellm_lite.engine import Model

from ..support.model_files import change_json, copy_model
from ..support.paths import FIXTURES

RECORDED = json.loads((FIXTURES / "first_spaces.json").read_text())


def named(form: dict[str, Any]) -> str:
    steps = form["tokenizer"]
    scheme = "no tokenizer.json"
    if steps is not None:
        scheme = (steps["pre_tokenizer"] or {}).get("prepend_scheme", "prepend")
    options = " ".join(f"{name}={value}" for name, value in form["options"].items())
    return f"{form['model_type']} {scheme} {options}".strip()


@pytest.mark.parametrize("form", RECORDED["forms"], ids=named)
def test_whole_prompts_have_the_tokens_of_transformers(form: dict[str, Any], tmp_path: Path):
    source = copy_model("tiny-mistral", tmp_path)
    change_json(source / "config.json", model_type=form["model_type"])
    change_json(source / "tokenizer_config.json", **form["options"])
    if form["tokenizer"] is None:
        (source / "tokenizer.json").unlink()
    else:
        change_json(source / "tokenizer.json", **form["tokenizer"])
    convert_base(source, tmp_path / "model.gguf", quant="f16")
    model = Model(tmp_path / "model.gguf", device="cpu")
    try:
        found = [model.tokenize_segments(model.named_parts(text)) for text in RECORDED["texts"]]
        assert found == form["ids"]
    finally:
        model.close()

"""The prompts of the published kinds of experts are those that they were trained on.

``scripts/fixture_expert_prompts.py`` has recorded them. A difference here changes the answers of
packages that exist.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hivellm_lite.converters.base import convert_base

from hivellm_lite import Expert

from ..support.model_files import copy_model
from ..support.packages import adapter_files, manifest_bytes, manifest_v2, write_package
from ..support.paths import FIXTURES

RECORDED = json.loads((FIXTURES / "expert_prompts.json").read_text())


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose template writes an empty thought where none is wanted, as Qwen3's does."""
    folder = copy_model("tiny-qwen3", tmp_path_factory.mktemp("base"))
    source = (FIXTURES / "chat_templates" / "qwen3.jinja").read_text()
    (folder / "chat_template.jinja").write_text(source)
    convert_base(folder, folder / "model.gguf", quant="f32")
    return folder / "model.gguf"


@pytest.mark.parametrize("named", ["qwen3", "chatml"])
@pytest.mark.parametrize("kind", RECORDED)
def test_a_prompt_has_the_tokens_of_training(kind, named, qwen3, tmp_path):
    said = RECORDED[kind]
    manifest = manifest_v2(name="kind", capabilities=said["capabilities"])
    manifest["base_models"][0]["prompt_template"] = named
    files = {**adapter_files("tiny-qwen3", "plain"), "manifest.json": manifest_bytes(manifest)}
    package = write_package(tmp_path / "kind.expert", files)
    with Expert.load(package, base=qwen3, n_ctx=512, n_threads=1) as expert:
        for thinking, ids in said["ids"].items():
            found = expert.tokenize_prompt(**said["ask"], thinking=thinking == "thinking")
            assert found == ids

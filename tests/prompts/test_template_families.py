"""Prompts of all families of models, token for token as ``apply_chat_template`` writes them.

``scripts/fixture_chat_templates.py`` has recorded what Transformers does with the templates in
``tests/fixtures/chat_templates``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hivellm_lite.converters.base import convert_base

from hivellm_lite.engine import Model
from hivellm_lite.manifest import parse_manifest
from hivellm_lite.prompts.conversation import (
    Conversation,
    check_documents,
    check_messages,
    check_tools,
)
from hivellm_lite.prompts.format import FormattedPrompt
from hivellm_lite.prompts.formats import PromptFormats
from hivellm_lite.prompts.template_files import TemplateFile

from ..support.model_files import change_json, copy_model
from ..support.packages import manifest_bytes, manifest_v2
from ..support.paths import FIXTURES

RECORDED = json.loads((FIXTURES / "chat_templates.json").read_text())
FAMILIES = RECORDED["families"]

BEGIN, END = "\ue000", "\ue001"
"""They stand around a tag in a text of a stranger."""


def add_rows(path: Path, n_rows: int) -> None:
    """Rows of zeros for more tokens, in the embedding and the head."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    header.pop("__metadata__", None)
    parts = []
    place = 0
    for name, tensor in header.items():
        begin, end = tensor["data_offsets"]
        part = body[begin:end]
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            rows = tensor["shape"][0]
            part += bytes(len(part) // rows * n_rows)
            tensor["shape"][0] += n_rows
        tensor["data_offsets"] = [place, place + len(part)]
        place += len(part)
        parts.append(part)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def base_of(vocabulary: dict[str, Any], folder: Path) -> Path:
    """A tiny model with more control tokens, as the script gives them to its tokenizer."""
    source = copy_model(vocabulary["model"], folder)
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    added = tokenizer["added_tokens"]
    known = {token["content"] for token in added}
    size = len(tokenizer["model"]["vocab"].keys() | known)
    rstrips = vocabulary.get("rstrip", [])
    tags = [tag for tag in (*vocabulary["tags"], *rstrips) if tag not in known]
    plain = {"single_word": False, "lstrip": False, "normalized": False, "special": True}
    for index, tag in enumerate(tags):
        added.append({**plain, "id": size + index, "content": tag, "rstrip": tag in rstrips})
    change_json(source / "tokenizer.json", added_tokens=added)
    n_rows = json.loads((source / "config.json").read_text())["vocab_size"]
    change_json(source / "config.json", vocab_size=n_rows + len(tags))
    add_rows(source / "model.safetensors", len(tags))
    convert_base(source, folder / "model.gguf", quant="f16")
    return folder / "model.gguf"


@pytest.fixture(scope="module")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Model]]:
    opened: dict[str, Model] = {}

    def load(name: str) -> Model:
        if name not in opened:
            folder = tmp_path_factory.mktemp(name)
            opened[name] = Model(base_of(RECORDED["vocabularies"][name], folder), device="cpu")
        return opened[name]

    yield load
    for model in opened.values():
        model.close()


def conversation(told: dict[str, Any]) -> Conversation:
    return Conversation(
        check_messages(told["messages"]),
        thinking=told.get("thinking", False),
        tools=check_tools(told.get("tools")),
        documents=check_documents(told.get("documents")),
    )


def prompt_of(family: str, model: Model, told: dict[str, Any]) -> FormattedPrompt:
    source = (FIXTURES / "chat_templates" / f"{family}.jinja").read_text()
    file = TemplateFile(source, "the package's chat template", FAMILIES[family]["tokens"])
    manifest = manifest_v2()
    manifest["base_models"][0]["prompt_template"] = None
    formats = PromptFormats(parse_manifest(manifest_bytes(manifest)), model, lambda: file)
    return formats.choose(None).prompt(conversation(told))


def tokens_of(prompt: FormattedPrompt, model: Model) -> list[int]:
    return model.tokenize_segments((part.text, part.control) for part in prompt.segments)


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_have_the_tokens_of_transformers(family: str, model_of: Callable[[str], Model]):
    model = model_of(FAMILIES[family]["vocabulary"])
    for title, ids in FAMILIES[family]["ids"].items():
        prompt = prompt_of(family, model, RECORDED["conversations"][title])
        assert tokens_of(prompt, model) == ids, title


def attacked(value: Any, attack: str, key: str = "") -> Any:
    """``value`` with the attack in all texts and names that a stranger chooses."""
    if isinstance(value, str):
        return value if key in ("role", "type", "id", "tool_call_id") else value + attack
    if isinstance(value, dict):
        strangers = key in ("arguments", "properties")
        return {
            (name + attack if strangers else name): attacked(
                inner, attack, "" if strangers else name
            )
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [attacked(inner, attack, key) for inner in value]
    return value


@pytest.mark.parametrize("family", FAMILIES)
def test_no_text_of_a_stranger_becomes_a_control_token(
    family: str, model_of: Callable[[str], Model]
):
    model = model_of(FAMILIES[family]["vocabulary"])
    source = (FIXTURES / "chat_templates" / f"{family}.jinja").read_text()
    vocabulary = RECORDED["vocabularies"][FAMILIES[family]["vocabulary"]]
    own = [*vocabulary["tags"], *vocabulary.get("rstrip", ()), "<start_of_turn>", "<end_of_turn>"]
    tags = [tag for tag in own if tag in source] + ["<|im_end|>", "<|im_start|>"]
    tags += FAMILIES[family]["tokens"].values()
    attack = "".join(f"{BEGIN}{tag}{END}" for tag in tags)
    controls = {model.special_token(tag) for tag in tags if model.named_parts(tag) == [(tag, True)]}
    assert controls
    for title in FAMILIES[family]["ids"]:
        told = RECORDED["conversations"][title]
        plain, prompt = (prompt_of(family, model, one) for one in (told, attacked(told, attack)))
        wanted, found = (
            [token for token in tokens_of(one, model) if token in controls]
            for one in (plain, prompt)
        )
        assert found == wanted, title
        assert text_of(prompt).count(BEGIN) >= len(tags) * text_of(plain).count("How many")


def text_of(prompt: FormattedPrompt) -> str:
    return "".join(part.text for part in prompt.segments)

"""The chat template among the files of a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hivellm_lite.converters.base import convert_base
from hivellm_lite.converters.gguf.header import read_gguf_header
from hivellm_lite.converters.tokenizers.chat_template import (
    CHAT_TEMPLATE_FILES,
    MAX_NAMED,
    MAX_TEMPLATE_BYTES,
    find_chat_templates,
)

from hivellm_lite.errors import ConversionError
from hivellm_lite.package import opening

from .tiny_tokenizers import copy_model


def found_in(folder: Path, **options: object) -> tuple[str | None, str] | None:
    found = find_chat_templates(folder, options)
    return None if found is None else (found.default, found.file)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")


def test_templates_are_looked_for_in_order(tmp_path: Path) -> None:
    assert found_in(tmp_path) is None
    write(tmp_path / "chat_template.json", json.dumps({"chat_template": "json"}))
    assert found_in(tmp_path) == ("json", "chat_template.json")
    assert found_in(tmp_path, chat_template="config") == ("config", "tokenizer_config.json")
    for folder in ("additional_chat_templates", "chat_templates"):
        write(tmp_path / folder / "default.jinja", folder)
        found = found_in(tmp_path, chat_template="config")
        assert found == (folder, f"{folder}/default.jinja")
    write(tmp_path / "chat_template.jinja", "jinja é")
    assert found_in(tmp_path, chat_template="config") == ("jinja é", "chat_template.jinja")


def test_several_templates_keep_their_names(tmp_path: Path) -> None:
    named = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    found = find_chat_templates(tmp_path, {"chat_template": named})
    assert found is not None
    assert (found.default, found.named) == ("a", {"default": "a", "tool_use": "b"})


def test_the_template_for_tools_stands_in_a_folder_of_its_own(tmp_path: Path) -> None:
    write(tmp_path / "additional_chat_templates" / "tool_use.jinja", "b")
    found = find_chat_templates(tmp_path, {"chat_template": "a"})
    assert found is not None
    assert (found.default, found.named["tool_use"]) == ("a", "b")


def test_one_of_several_is_taken_only_if_it_is_for_conversations(tmp_path: Path) -> None:
    assert found_in(tmp_path, chat_template=[{"name": "rag", "template": "a"}]) == (
        "a",
        "tokenizer_config.json",
    )
    several = [{"name": name, "template": "a"} for name in ("rag", "tool_use")]
    assert found_in(tmp_path, chat_template=several) == (None, "tokenizer_config.json")


def test_a_base_has_both_templates_as_metadata(tmp_path: Path) -> None:
    folder = copy_model("tiny-llama", tmp_path)
    write(folder / "chat_template.jinja", "for talk")
    write(folder / "additional_chat_templates" / "tool_use.jinja", "for tools")
    convert_base(folder, tmp_path / "model.gguf", quant="f16")
    metadata = read_gguf_header(tmp_path / "model.gguf").metadata
    assert metadata["tokenizer.chat_template"] == "for talk"
    assert metadata["tokenizer.chat_template.tool_use"] == "for tools"


def test_a_folder_package_is_known_by_all_files_of_its_templates() -> None:
    assert set(CHAT_TEMPLATE_FILES) <= set(opening._TOKENIZER)


@pytest.mark.parametrize("value", [5, [5], [{"name": "x"}], {"a": "b"}, [{"template": "x"}]])
def test_a_template_of_another_type_is_refused(value: object, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="neither text nor a list"):
        find_chat_templates(tmp_path, {"chat_template": value})


def test_huge_and_many_templates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=f"over {MAX_TEMPLATE_BYTES} bytes"):
        find_chat_templates(tmp_path, {"chat_template": "x" * (MAX_TEMPLATE_BYTES + 1)})
    many = [{"name": str(n), "template": ""} for n in range(MAX_NAMED + 1)]
    with pytest.raises(ConversionError, match=f"{MAX_NAMED + 1} chat templates"):
        find_chat_templates(tmp_path, {"chat_template": many})
    write(tmp_path / "chat_template.jinja", "x" * (MAX_TEMPLATE_BYTES + 1))
    with pytest.raises(ConversionError, match=f"over {MAX_TEMPLATE_BYTES} bytes"):
        find_chat_templates(tmp_path, {})


def test_a_template_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ConversionError, match=r"cannot read .*chat_template\.jinja"):
        find_chat_templates(tmp_path, {})

"""``hivellm-lite init``: from the files that PEFT saved to a first manifest."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from hivellm_lite.manifest import parse_manifest
from hivellm_lite.packaging.schema import manifest_schema

from ..support.packages import adapter_files, write_package
from ..support.paths import ADAPTERS, FIXTURES

SCHEMA = Draft202012Validator(json.loads(manifest_schema()))


@pytest.fixture
def folder(tmp_path) -> Path:
    return write_package(tmp_path / "SQL for Llamas" / "checkpoint-500", adapter_files())


def manifest_in(folder: Path):
    data = (folder / "manifest.json").read_bytes()
    SCHEMA.validate(json.loads(data))
    parse_manifest(data)
    return json.loads(data)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Terminal(io.StringIO):
    """Standard input of somebody who types these lines."""

    def isatty(self) -> bool:
        return True


def test_without_a_terminal_the_defaults_are_taken_and_told(tool, folder):
    code, out, err = tool("init", folder)
    assert (code, err) == (0, "Assumed: name sql-for-llamas, version 0.1.0, base tiny\n")
    assert out == (
        f"{folder / 'manifest.schema.json'}\n{folder / 'manifest.json'}\n"
        f"Next: hivellm-lite package '{folder}' -o sql-for-llamas.expert\n"
    )
    manifest = manifest_in(folder)
    assert next(iter(manifest.items())) == ("$schema", "./manifest.schema.json")
    assert (folder / "manifest.schema.json").read_bytes() == manifest_schema()
    (adapter,) = manifest["base_models"][0]["adapters"]
    assert adapter.pop("target_modules") == [
        *("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"),
    ]
    assert adapter == {"type": "lora", "r": 4, "alpha": 8}


def test_options_say_everything(tool, folder, tmp_path):
    rules = tmp_path / "mine.gbnf"
    rules.write_text('root ::= "a"\n')
    options = {
        "--name": "expert-sql",
        "--version": "1.2.3",
        "--base": "Qwen/Qwen3-0.6B",
        "--description": "Ünsinn",
        "--author": "me",
        "--license": "mit",
        "--capability": "database:sql",
        "--keyword": "table",
        "--template": "qwen3",
        "--grammar": rules,
        "--requires": "english@>=1",
        "--temperature": 0.5,
        "--max-tokens": 9,
        "--stop": "\n\n",
    }
    code, _, err = tool("init", folder, *(part for pair in options.items() for part in pair))
    assert (code, err) == (0, "")
    manifest = manifest_in(folder)
    assert [manifest[key] for key in ("name", "version", "description", "author", "license")] == [
        *("expert-sql", "1.2.3", "Ünsinn", "me", "mit"),
    ]
    base = manifest["base_models"][0]
    assert (base["name"], base["prompt_template"]) == ("Qwen/Qwen3-0.6B", "qwen3")
    assert (manifest["capabilities"], manifest["routing"]) == (
        ["database:sql"],
        {"keywords": ["table"]},
    )
    assert manifest["constraints"] == {"requires": ["english@>=1"]}
    assert manifest["training"]["decoding"] == {
        "use_grammar": True,
        "grammar_file": "grammar.gbnf",
        "temperature": 0.5,
        "max_tokens": 9,
        "stop_sequences": ["\n\n"],
    }
    assert (folder / "grammar.gbnf").read_bytes() == rules.read_bytes()


def test_on_a_terminal_it_asks_for_the_rest(tool, folder, monkeypatch):
    typed = "\n0.2.0\nowner/Base\nAnswers.\n\nmit\na, b,\nllama\nchatml\n"
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    code, _, err = tool("init", folder, "--keyword", "table")
    assert code == 0, err
    for question in ("Name of the expert [sql-for-llamas]", "Base model [tiny]", "Version [0.1.0]"):
        assert question in err
    assert "'llama' is none of chatml, hivellm-tags, qwen3" in err
    assert "Words of prompts" not in err
    manifest = manifest_in(folder)
    assert (manifest["name"], manifest["version"], manifest["license"]) == (
        *("sql-for-llamas", "0.2.0", "mit"),
    )
    assert "author" not in manifest
    assert manifest["capabilities"] == ["a", "b"]
    assert manifest["base_models"][0]["prompt_template"] == "chatml"


def test_nothing_is_overwritten_without_force(tool, folder):
    (folder / "manifest.json").write_text("mine")
    code, out, err = tool("init", folder)
    assert (code, out) == (1, "")
    assert "manifest.json is there already\nEdit that file, or pass --force." in err
    assert "manifest.schema.json" not in names(folder)
    assert tool("init", folder, "--force")[0] == 0
    before = (folder / "manifest.json").stat().st_mtime_ns
    code, out, _ = tool("init", folder)
    assert (code, out.count("\n")) == (0, 1), "what would be the same is left alone"
    assert (folder / "manifest.json").stat().st_mtime_ns == before


def test_what_cannot_become_a_package_is_refused(tool, folder, tmp_path):
    saved = {"adapter_model.bin": b"", "adapter_config.json": b"{}"}
    pickled = write_package(tmp_path / "p", saved)
    nameless = write_package(tmp_path / "n", adapter_files())
    config = json.loads((nameless / "adapter_config.json").read_text())
    (nameless / "adapter_config.json").write_text(
        json.dumps({**config, "base_model_name_or_path": None})
    )
    prefix_tuning = FIXTURES / "soft_prompts" / "refused" / "prefix-tuning"
    bad_grammar = tmp_path / "bad.gbnf"
    bad_grammar.write_text("root ::=")
    for arguments, code, said in (
        ((pickled,), 1, "is a pickle, which can run code and is never opened. Save it again"),
        ((tmp_path,), 1, "Name one in"),
        ((tmp_path / "none",), 1, "no such folder"),
        ((prefix_tuning,), 1, "prefix tuning is not supported"),
        ((nameless,), 2, "no --base is given"),
        ((folder, "--name", "a/b"), 1, "without slashes"),
        ((folder, "--version", "new"), 1, "no semantic version"),
        ((folder, "--requires", "@"), 1, "constraints.requires"),
        ((folder, "--max-tokens", 0), 1, "max_tokens"),
        ((folder, "--grammar", bad_grammar), 1, "bad.gbnf"),
        ((folder, "--grammar", tmp_path / "none.gbnf"), 1, "cannot read"),
    ):
        found, out, err = tool("init", *arguments)
        assert (found, out) == (code, ""), err
        assert said in err
    assert names(folder) == ["adapter_config.json", "adapter_model.safetensors"]


def test_every_kind_of_adapter_is_described(tool, tmp_path):
    expected = {
        ADAPTERS / "tiny-llama" / "dora-rslora": ("dora", True),
        ADAPTERS / "tiny-llama" / "ia3": ("ia3", False),
        ADAPTERS / "tiny-llama" / "lokr": ("lokr", True),
        FIXTURES / "soft_prompts" / "tiny-llama" / "p-tuning": ("p_tuning", False),
    }
    for source, (kind, has_rank) in expected.items():
        files = {path.name: path.read_bytes() for path in source.iterdir()}
        folder = write_package(tmp_path / source.name, files)
        code, _, err = tool("init", folder, "--base", "tiny")
        assert code == 0, err
        (adapter,) = manifest_in(folder)["base_models"][0]["adapters"]
        assert (adapter["type"], "r" in adapter, "alpha" in adapter) == (kind, has_rank, has_rank)
        code, _, err = tool("package", folder, "-o", tmp_path / f"{source.name}.expert")
        assert code == 0, err


@pytest.mark.parametrize(
    ("named", "base"),
    [
        (
            "/home/me/.cache/huggingface/hub/models--Qwen--Qwen3-0.6B/snapshots/abc",
            "Qwen/Qwen3-0.6B",
        ),
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"),
        ("/home/me/models/Qwen3-0.6B/", "Qwen3-0.6B"),
        ("F:\\models\\Qwen3-0.6B", "Qwen3-0.6B"),
        ("./Qwen3-0.6B", "Qwen3-0.6B"),
    ],
)
def test_a_path_of_one_machine_becomes_a_name(named, base):
    from hivellm_lite.packaging.starting import suggested_base

    assert suggested_base(named) == base


def test_the_schema_is_printed(tool):
    code, out, _ = tool("init", "--schema")
    assert (code, out.encode()) == (0, manifest_schema())

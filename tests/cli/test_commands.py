"""The command-line tool, run as a user runs it: exit codes, stdout, stderr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hivellm_lite import __version__

from ..support.packages import (
    adapter_files,
    expert_files,
    manifest_bytes,
    manifest_v2,
    write_package,
)

QUICK = ("--n-ctx", 256, "--n-threads", 1, "--temperature", 0, "--max-tokens", 8)


def test_the_answer_and_nothing_else_is_on_stdout(tool, tiny_package, tiny_base):
    package = tiny_package()
    code, out, _ = tool("run", package, "Hello", "--base", tiny_base, *QUICK)
    assert code == 0
    code, as_json, _ = tool("run", package, "Hello", "--base", tiny_base, *QUICK, "--json")
    result = json.loads(as_json)
    assert out == result["text"] + ("" if result["text"].endswith("\n") else "\n")
    assert result["completion_tokens"] <= 8


def test_stats_and_a_cut_answer_are_told_on_stderr(tool, tiny_package, tiny_base):
    code, _, err = tool(
        "run", tiny_package(), "Hello", "--base", tiny_base, *QUICK, "--stats", "--stop", "§"
    )
    assert code == 0
    assert "cut after 8 tokens; --max-tokens" in err
    assert "tokens/s" not in err
    assert "first token after" in err


def test_the_schema_may_come_from_a_file(tool, tiny_package, tiny_base, tmp_path):
    schema = tmp_path / "schema.sql"
    schema.write_text("CREATE TABLE t (a INT);")
    arguments = ("run", tiny_package(), "Hello", "--base", tiny_base, *QUICK, "--json", "--schema")
    _, from_file, _ = tool(*arguments, f"@{schema}")
    _, from_text, _ = tool(*arguments, schema.read_text())
    counts = [json.loads(out)["prompt_tokens"] for out in (from_file, from_text)]
    assert counts[0] == counts[1]
    code, out, err = tool(*arguments, f"@{tmp_path / 'none'}")
    assert (code, out) == (2, "")
    assert "No such file" in err


def test_the_template_may_be_a_file(tool, tiny_package, tiny_base, tmp_path):
    source = tmp_path / "mine.jinja"
    source.write_text("Hello")
    arguments = ("run", tiny_package(), "Hello", "--base", tiny_base, *QUICK, "--json")
    _, alone, _ = tool(*arguments, "--template", f"@{source}")
    _, raw, _ = tool(*arguments, "--template", "raw")
    counts = [json.loads(out)["prompt_tokens"] for out in (alone, raw)]
    assert counts[0] == counts[1]
    source.write_text("{% if %}")
    code, _, err = tool(*arguments, "--template", f"@{source}")
    assert code == 1
    assert "the chat template mine.jinja cannot be read: line 1" in err
    assert "Give --template chatml or" in err
    code, _, err = tool(*arguments, "--template", f"@{tmp_path / 'none'}")
    assert code == 2
    assert "there is no file" in err


def test_an_error_is_one_message_on_stderr_and_exit_code_1(tool, tmp_path):
    code, out, err = tool("run", tmp_path / "none.expert", "Hello")
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert "Traceback" not in err


def test_debug_shows_the_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "hivellm_lite", "--debug", "inspect", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "PackageError" in done.stderr


def test_arguments_out_of_range_are_errors_not_tracebacks(tool, tiny_package, tiny_base):
    code, _, err = tool("run", tiny_package(), "Hello", "--base", tiny_base, "--top-p", 7)
    assert code == 1
    assert "top_p=7.0: must be above 0" in err


def test_inspect_shows_what_would_run(tool, tiny_package):
    code, out, _ = tool("inspect", tiny_package())
    assert code == 0
    for text in ("tiny 0.3.0 (schema 2.0)", "tiny-base", "LoRA, rank", "database:sql", "top_k=20"):
        assert text in out
    _, out, _ = tool("inspect", tiny_package(), "--json")
    facts = json.loads(out)
    assert facts["adapter"]["runs"]
    assert facts["decoding"]["top_k"] == 20
    assert len(facts["digest"]) == 64


@pytest.mark.parametrize(
    ("named", "files", "line"),
    [
        ("qwen3", {"chat_template.jinja": b"x"}, "qwen3, named by the manifest"),
        (
            "llama3",
            {"chat_template.jinja": b"x"},
            "the package's chat template (chat_template.jinja)",
        ),
        (
            None,
            {"tokenizer_config.json": b'{"chat_template": "x"}'},
            "the package's chat template (tokenizer_config.json)",
        ),
        (None, {}, "the base's chat template, or ChatML without one"),
        (None, {"chat_template.jinja": b"\xff"}, "cannot be read: cannot read "),
    ],
)
def test_inspect_shows_where_the_form_of_the_prompts_is_from(tool, tmp_path, named, files, line):
    manifest = manifest_v2(name="tiny")
    manifest["base_models"][0]["prompt_template"] = named
    files = {**adapter_files(), "manifest.json": manifest_bytes(manifest), **files}
    package = write_package(tmp_path / "tiny.expert", files)
    code, out, _ = tool("inspect", package)
    assert code == 0
    assert f"template      {line}" in out


def test_inspect_says_why_an_adapter_cannot_run(tool, tiny_package):
    code, out, _ = tool("inspect", tiny_package(model="refused", adapter="alora"))
    assert code == 0
    assert "cannot be run" in out
    assert "aLoRA" in out


def test_inspect_shows_what_was_passed_over(tool, tiny_package):
    base = {**manifest_v2()["base_models"][0], "adapters": [{"size_bytes": 8388608}]}
    package = tiny_package(base_models=[base])
    _, out, _ = tool("inspect", package)
    assert "bytes, the manifest says 8388608" in out
    _, out, _ = tool("inspect", package, "--json")
    (note,) = json.loads(out)["notes"]
    assert note.startswith("adapter_model.safetensors: ")


def test_convert_says_what_it_made_and_the_second_time_that_it_was_there(
    tool, tiny_package, tiny_base, tmp_path
):
    target = tmp_path / "out.gguf"
    arguments = ("convert", tiny_package(), "--base", tiny_base, "--output", target)
    code, out, _ = tool(*arguments)
    assert code == 0
    assert "converted to a GGUF LoRA (rank 4, 14 tensors, exact)" in out
    assert target.read_bytes()[:4] == b"GGUF"
    _, out, _ = tool(*arguments, "--json")
    facts = json.loads(out)
    assert facts["adapter_converted"] is False
    assert facts["adapter_bytes"] == target.stat().st_size


def test_the_cache_can_be_listed_pruned_and_cleared(tool, tiny_package, tiny_base):
    package = tiny_package()
    tool("convert", package, "--base", tiny_base)
    _, out, _ = tool("cache", "list", "--json")
    assert {entry["kind"] for entry in json.loads(out)} == {"packages", "adapters"}
    _, out, _ = tool("cache", "list")
    assert "2 entries" in out
    assert str(package) in out
    package.unlink()
    _, out, _ = tool("cache", "prune")
    assert "Removed 2 entries" in out
    tool("convert", tiny_package(), "--base", tiny_base)
    code, out, _ = tool("cache", "clear", "--yes", "--json")
    assert code == 0
    assert len(json.loads(out)) == 2


def test_clear_asks_first(tool, tiny_package, monkeypatch):
    tool("inspect", tiny_package())
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        code, _, err = tool("cache", "clear")
    assert code == 130
    assert "Remove 1 entries" in err
    _, out, _ = tool("cache", "list")
    assert "1 entries" in out


def test_another_cache_folder_can_be_given(tool, tiny_package, tmp_path, home):
    tool("--cache-dir", tmp_path / "other", "inspect", tiny_package())
    assert (tmp_path / "other" / "packages").is_dir()
    assert not home.exists()


def test_a_digest_beside_the_package_is_checked_unless_told_otherwise(tool, tmp_path):
    package = write_package(tmp_path / "x.expert", expert_files())
    Path(f"{package}.sha256").write_text(f"{'0' * 64}  x.expert\n")
    code, _, err = tool("inspect", package)
    assert code == 1
    assert "--no-verify" in err
    assert tool("inspect", package, "--no-verify")[0] == 0


def test_version_help_and_unknown_commands(tool):
    assert tool("--version")[1] == f"hivellm-lite, version {__version__}\n"
    code, out, _ = tool("--help")
    assert code == 0
    for command in ("run", "inspect", "convert", "cache", "doctor"):
        assert f"  {command}" in out
    assert tool("nonsense")[0] == 2


def test_a_reader_that_goes_away_is_no_crash(tiny_package):
    process = subprocess.Popen(
        [sys.executable, "-m", "hivellm_lite", "inspect", str(tiny_package()), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) == 1
    assert b"Traceback" not in err

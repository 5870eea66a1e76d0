"""What a shell completes: asked as the scripts ask, and in real shells at a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hivellm_lite.cli.completion_scripts import SCRIPTS

from ..support.shells import Shell
from ..support.systems import needs_posix

HOSTILE = ("$(touch PWNED)", "`touch PWNED`", "-rf", "a b", "x\x1b[2J", "n\nplain,y", "'", "sp;id")

NO_MODULES = ("numpy", "llama_cpp", "gguf", "huggingface_hub", "hivellm_lite.expert")


def registry(versions: dict[str, list[str]]) -> None:
    experts = [
        {"name": name, "versions": [{"version": one, "path": "/nowhere"} for one in each]}
        for name, each in versions.items()
    ]
    place = Path(os.environ["HIVELLM_EXPERTS"]) / "expert-registry.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps({"version": "1.0", "experts": experts}))


@pytest.fixture
def installed(home):
    each = {name: ["1"] for name in HOSTILE}
    registry({"expert-sql": ["0.3.0", "0.10.0"], "neo4j": ["1.0.0", *HOSTILE], **each})


@pytest.fixture
def ask(tool, monkeypatch):
    """What the tool answers to a shell that completes ``line``, by lines."""

    def answer(line: str, shell: str = "fish", current: str | None = None) -> list[str]:
        monkeypatch.setenv("_HIVELLM_LITE_COMPLETE", f"{shell}_complete")
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.delenv("COMP_CUR", raising=False)
        if current is not None:
            monkeypatch.setenv("COMP_CUR", current)
        code, out, err = tool()
        assert (code, err) == (0, "")
        return out.splitlines()

    return answer


def test_commands_options_and_choices(ask):
    assert "run\tAsk the expert in PACKAGE a question and print its answer." in ask("hivellm-lite ")
    assert ask("hivellm-lite grammar ch") == [ask("hivellm-lite grammar ")[0]]
    assert [one.split("\t")[0] for one in ask("hivellm-lite --debug run x --quant")] == [
        "--quant",
        "--quantization",
    ]
    assert ask("hivellm-lite completion z") == ["zsh"]
    assert ask("hivellm-lite run x --adapter-mode=ex") == ["--adapter-mode=exact"]
    assert ask("hivellm-lite run x --adapter-mode ex") == ["exact"]
    assert ask("hivellm-lite run x --adapter-mode=ex", "bash", "ex") == ["plain,exact"]
    assert ask("hivellm-lite run x --seed ") == []
    assert ask("'") == ask("") == ask("hivellm-lite ")  # nothing that a shell asks is an error


def test_installed_experts_where_a_package_is_meant(ask, installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["expert-sql\t0.10.0, 0.3.0", "neo4j\t1.0.0"]
    for command in (
        "run",
        "chat",
        "serve",
        "inspect",
        "grammar check",
        "bench x",
        "chat x",
        "show",
    ):
        assert [one for one in ask(f"hivellm-lite {command} ") if "/" not in one] == names, command
    assert ask("hivellm-lite run sq") == ["sql\t0.10.0, 0.3.0"]
    assert ask("hivellm-lite run sql@") == ["sql@0.10.0", "sql@0.3.0"]
    assert ask("hivellm-lite run expert-sql@0.3") == ["expert-sql@0.3.0"]
    assert ask("hivellm-lite chat db=ne") == ["db=neo4j\t1.0.0"]
    assert ask("hivellm-lite run db=ne") == []
    assert ask("hivellm-lite push ne") == ask("hivellm-lite run neo4j ne") == []
    assert ask("hivellm-lite run sql@0.3", "bash", "@0.3") == ["plain,@0.3.0", "expert,sql@0.3"]
    assert ask("hivellm-lite chat db=", "bash", "=") == [
        "plain,expert-sql",
        "plain,neo4j",
        "expert,",
    ]
    assert ask("hivellm-lite run ne", "zsh", "ne")[:3] == ["plain", "neo4j", "1.0.0"]


def test_files_for_fish(ask, tmp_path, monkeypatch, home):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dir").mkdir()
    for name in ("one.expert", "one.txt", "dir/two.expert", "dir/n\nl.expert", ".hidden.expert"):
        (tmp_path / name).touch()
    assert ask("hivellm-lite run ") == ["dir/", "one.expert"]
    assert ask("hivellm-lite run 'dir/t") == ["dir/two.expert"]
    assert ask("hivellm-lite chat a=o") == ["a=one.expert"]
    assert ask("hivellm-lite run x --base o") == ["one.expert", "one.txt"]
    assert ask("hivellm-lite run none/") == []


@pytest.mark.parametrize(
    "content", [b"{", b'{"experts": 7}', b'{"experts": [7, {"name": 1}]}', None]
)
def test_a_broken_registry_completes_nothing_and_stays(ask, home, tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    registry({})
    place = Path(os.environ["HIVELLM_EXPERTS"]) / "expert-registry.json"
    if content is None:
        place.unlink()
        place.mkdir()
    else:
        place.write_bytes(content)
    assert ask("hivellm-lite run x") == []
    assert ask("hivellm-lite show ") == []
    assert place.is_dir() or place.read_bytes() == content
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_completing_imports_nothing_that_takes_long(installed):
    program = (
        "import sys, atexit; from hivellm_lite.cli import main\n"
        f"atexit.register(lambda: print([m for m in {NO_MODULES} if m in sys.modules]))\n"
        "main([])"
    )
    more = {"_HIVELLM_LITE_COMPLETE": "bash_complete", "COMP_LINE": "hivellm-lite run ne"}
    command = [sys.executable, "-c", program]
    out = subprocess.run(command, env={**os.environ, **more}, capture_output=True, text=True).stdout
    assert out.splitlines() == ["plain,neo4j", "expert,ne", "[]"]


@needs_posix("pseudo-terminals")
@pytest.mark.parametrize("name", SCRIPTS)
def test_in_a_real_shell(tool, installed, tmp_path, name):
    folder = tmp_path / "here"
    (folder / "my dir").mkdir(parents=True)
    (folder / "my dir" / "a $(touch PWNED).expert").touch()
    (folder / "notes.txt").touch()
    script = tool("completion", name)[1]
    with Shell(name, folder, script, Path(sys.executable).parent) as shell:
        assert shell.completed("hivellm-lite insp") == ["hivellm-lite", "inspect"]
        assert shell.completed("hivellm-lite run neo")[2:] == ["neo4j"]
        assert shell.completed("hivellm-lite chat a=sql@0.3")[2:] == ["a=sql@0.3.0"]
        assert shell.completed("hivellm-lite run x --base=no")[3:] == ["--base=notes.txt"]
        inside = shell.completed("hivellm-lite run my\\ dir/")
        assert inside[2:] == ["my dir/a $(touch PWNED).expert"]
        shown = shell.listed("hivellm-lite show ", "neo4j")
        assert "PWNED" not in shown
    assert sorted(path.name for path in folder.glob("[!.]*")) == [
        "my dir",
        "notes.txt",
        f"script.{name}",
    ]

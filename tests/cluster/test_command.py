"""``hivellm-lite serve --ray``, as far as it gets without a cluster."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from .running import ray_environment

with_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="Ray is not installed: pip install 'hivellm-lite[ray]' (370 MB)",
)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["sql.expert"], "with --ray, say the packages in its file"),
        (["--port", "9000"], "with --ray, say --port in its file"),
        (["--base", "m.gguf", "--quiet"], "with --ray, say --base in its file"),
    ],
)
def test_what_the_file_should_say_is_refused_beside_it(tool, tmp_path, arguments, told):
    config = tmp_path / "fleet.toml"
    config.write_text("[packages]\nsql = 'x'\n")
    code, _, err = tool("serve", "--ray", config, *arguments)
    assert code == 2
    assert told in err


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_the_extra_is_named_where_ray_is_missing(tool, tmp_path):
    code, _, err = tool("serve", "--ray", tmp_path / "fleet.toml")
    assert code == 2
    assert "pip install 'hivellm-lite[ray]'" in err


@with_ray
def test_a_file_that_cannot_be_used_is_told_before_ray_begins(tmp_path):
    code, err = serve("[packages]\n", tmp_path)
    assert code == 2
    assert "fleet.toml: packages: name at least one package" in err


@with_ray
def test_an_address_where_no_cluster_is_says_so_at_once(tmp_path):
    code, err = serve("[packages]\nsql = 'x'\n", tmp_path, RAY_ADDRESS="127.0.0.1:1")
    assert code == 1
    assert "127.0.0.1:1: no Ray cluster is there" in err


def serve(text: str, folder: Path, **environment: str) -> tuple[int, str]:
    """In a process of its own: Ray changes the environment as soon as it is imported."""
    config = folder / "fleet.toml"
    config.write_text(text)
    command = [sys.executable, "-m", "hivellm_lite", "serve", "--ray", str(config)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60,
        env={**ray_environment(folder), **environment},
    )  # fmt: skip
    return done.returncode, done.stderr

"""Fixtures of the tests of this room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from hivellm_lite.hub import Hub
from hivellm_lite.progress import Progress
from hivellm_lite.sources import Fetched, fetch, parse_source

from ..support.packages import expert_files, manifest_v2, write_package
from ..support.web_server import WebServer


@pytest.fixture(scope="session")
def running_web() -> Iterator[WebServer]:
    with WebServer() as running:
        yield running


@pytest.fixture
def web(running_web: WebServer, server: object) -> WebServer:
    """An empty web server on 127.0.0.1, which is not the Hub."""
    running_web.reset()
    return running_web


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    return write_package(tmp_path / "made" / "tiny.expert", expert_files(manifest_v2()))


@pytest.fixture
def bring(hub: Hub, tmp_path: Path) -> Callable[..., Fetched]:
    """Fetch what a text names into an empty folder; nothing but the package may stay there."""

    def run(text: object, *, progress: Progress | None = None, verify: bool = True) -> Fetched:
        folder = tmp_path / "fetched"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            return fetch(parse_source(str(text)), folder, hub=hub, progress=progress, verify=verify)
        finally:
            left = {path.name for path in folder.iterdir()}
            assert not {name for name in left if ".git" in name or name.startswith("repository")}

    return run


@pytest.fixture(scope="session")
def git() -> Callable[..., str]:
    """Run git with no settings but its own: ``git(folder, "log")``."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed: scripts/install_test_tools.sh installs it")
    who = {
        f"GIT_{role}_{part}": f"{part}@x"
        for role in ("AUTHOR", "COMMITTER")
        for part in ("NAME", "EMAIL")
    }

    def run(folder: Path, *arguments: str, data: bytes | None = None) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            input=data,
            capture_output=True,
            check=True,
            env={
                "PATH": os.environ["PATH"],
                "GIT_CONFIG_NOSYSTEM": "1",
                "HOME": "/nonexistent",
                **who,
            },
        )
        return done.stdout.decode().strip()

    return run


@pytest.fixture
def repository(git: Callable[..., str], tmp_path: Path) -> Callable[..., Path]:
    """Make a repository of files, or commit more files to it; a value of None adds no file."""
    folder = tmp_path / "repositories" / "tiny.git"

    def commit(files: Mapping[str, bytes]) -> Path:
        if not folder.exists():
            folder.mkdir(parents=True)
            git(folder, "init", "-q", "-b", "main", ".")
        for name, data in files.items():
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        git(folder, "add", "-A", "-f")
        git(folder, "commit", "-q", "-m", "x")
        return folder

    return commit

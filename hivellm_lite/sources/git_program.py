"""Runs the ``git`` program on repositories of strangers.

A repository can bring hooks, filters, submodules and links, and its address can name programs.
Nothing of that is used here: the child process gets an address of a protocol that was asked for,
no terminal, no hooks and no templates, and it never checks files out (see ``git_files``). The
user's own settings hold, since proxies, certificates and credential helpers are among them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from ..errors import LoadError

__all__ = ["GitFailed", "GitTooLarge", "run_git", "started_git"]

STALLED_S = 60.0
"""After how many seconds without a byte a fetch counts as broken off."""

_POLL_S = 0.1

_PROTOCOLS = {"https": "https:ssh", "ssh": "ssh:https", "http": "http", "file": "file"}
"""What git may speak for an address. A user's ``insteadOf`` may turn https into ssh, and back."""

_SETTINGS = (
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.writeCommitGraph=false",
    "fetch.unpackLimit=1",
    "transfer.bundleURI=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.defaultBranchName=false",
    "init.defaultBranch=main",
)

_NOT_INHERITED = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE"),
    *("GIT_QUARANTINE_PATH", "GIT_TEMPLATE_DIR", "GIT_DEFAULT_HASH", "GIT_PREFIX", "LANGUAGE"),
)
"""What describes the repository that the user is in, not the one that is fetched."""


class GitFailed(Exception):
    """git ended with an error. The message is what git wrote, in English."""


class GitTooLarge(Exception):
    """The repository, or a list of git's, is larger than allowed."""


def run_git(
    repository: Path,
    arguments: Sequence[str],
    *,
    scheme: str = "file",
    max_bytes: int = 1 << 20,
    watched: Path | None = None,
    stalled_s: float = STALLED_S,
) -> bytes:
    """Run ``git ARGUMENTS`` for the bare repository; returns what it printed.

    ``scheme`` is the protocol that git may speak. No more than ``max_bytes`` may be printed or,
    with ``watched``, be in that folder. Raises GitFailed, GitTooLarge, and LoadError if git is
    not there or makes no progress for ``stalled_s`` seconds.
    """
    out, err = repository.with_suffix(".out"), repository.with_suffix(".err")
    try:
        with (
            out.open("wb") as stdout,
            err.open("wb") as stderr,
            started_git(repository, arguments, scheme, subprocess.DEVNULL, stdout, stderr) as git,
        ):
            code = _wait(git, lambda: _size(watched or out) + _size(err), max_bytes, stalled_s)
        if code != 0:
            raise GitFailed(_end_of(err))
        return out.read_bytes()
    finally:
        out.unlink(missing_ok=True)
        err.unlink(missing_ok=True)


@contextlib.contextmanager
def started_git(
    repository: Path,
    arguments: Sequence[str],
    scheme: str,
    stdin: int,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
) -> Iterator[subprocess.Popen[bytes]]:
    """A running git, which is killed with its children if it has not ended with the block."""
    settings = [part for setting in _SETTINGS for part in ("-c", setting)]
    try:
        git = subprocess.Popen(  # noqa: S603
            ["git", *settings, f"--git-dir={repository}", *arguments],  # noqa: S607
            cwd=repository.parent,
            env=_environment(scheme),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            # Without a terminal nothing can ask for a password there; and Ctrl-C is ours to handle.
            start_new_session=True,
        )
    except FileNotFoundError:
        raise LoadError(
            "git is not installed, which fetches git+… addresses\n"
            "Install it (git-scm.com), or download the package and install the file."
        ) from None
    except OSError as error:
        raise LoadError(f"git cannot be started: {error.strerror or error}") from error
    with git:
        try:
            yield git
        finally:
            _end(git)


def _environment(scheme: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    return {
        **inherited,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": _PROTOCOLS[scheme],
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ALLOC_LIMIT": "1g",  # of one object in memory
        "LC_ALL": "C",
    }


def _wait(
    git: subprocess.Popen[bytes], size: Callable[[], int], max_bytes: int, stalled_s: float
) -> int:
    """The exit status of git, unless it writes too much or nothing."""
    last, since = -1, time.monotonic()
    while True:
        try:
            code: int | None = git.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            code = None
        now = size()
        if now > max_bytes:
            raise GitTooLarge
        if code is not None:
            return code
        if now != last:
            last, since = now, time.monotonic()
        elif time.monotonic() - since >= stalled_s:
            raise GitFailed(f"nothing has arrived for {stalled_s:.0f} seconds")


def _end(git: subprocess.Popen[bytes]) -> None:
    if git.poll() is not None:
        return
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            git.kill()
        else:
            os.killpg(git.pid, signal.SIGKILL)
    git.wait()  # which Popen does not do after Ctrl-C


def _size(path: Path) -> int:
    """The bytes of a file, or of all files in a folder, which may be removed meanwhile."""
    total = 0
    for one in path.rglob("*") if path.is_dir() else (path,):
        with contextlib.suppress(OSError):
            total += one.lstat().st_size
    return total


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, _size(path) - 8192))
        return file.read().decode("utf-8", "replace")

"""Tries a model in a child process before this process loads it.

For models of architectures that `check_model` knows only in general. llama.cpp knows about
150, each with its own assertions. A failing assertion ends the child only.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

from ..errors import LoadError
from ..process.exit_status import describe_exit

__all__ = ["try_in_child"]

IN_TRIAL = "HIVELLM_IN_TRIAL"
"""Set in the child, which tries nothing again."""

TIMEOUT_S = 600.0
"""The model is read once as a whole, maybe from a slow disk."""

_CHILD = "import sys; from hivellm_lite.engine.trial_run import run; run(*sys.argv[1:])"
_FIRST_CRASH_STATUS = 3
"""Exit statuses from here on are Windows' signals; Python itself ends with 1 or 2."""


def try_in_child(path: Path, device: str) -> None:
    """Raise LoadError if loading the model, a tokenization and a decode end a process.

    The caller meets errors of other kinds itself. A result is remembered
    until the file changes.
    """
    if IN_TRIAL not in os.environ:
        stat = path.stat()
        if problem := _problem(path, device, stat.st_size, stat.st_mtime_ns):
            raise LoadError(
                f"llama.cpp cannot compute with {path}: {problem}\n"
                "The file is damaged or was made for another version of llama.cpp."
            )


@functools.lru_cache(maxsize=64)
def _problem(path: Path, device: str, _size: int, _mtime_ns: int) -> str:
    environment = {**os.environ, IN_TRIAL: "1", "GGML_NO_BACKTRACE": "1"}
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-c", _CHILD, str(path), device],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"a trial did not end within {TIMEOUT_S:.0f} s"
    if 0 <= done.returncode < _FIRST_CRASH_STATUS:
        return ""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    said = f"\n{lines[-1]:.300}" if lines else ""
    return describe_exit(done.returncode, "") + said

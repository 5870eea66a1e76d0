"""Packages made to kill, to hang or to fill the memory, each opened in a child under caps.

``scripts/open_hostile_packages.py`` opens as many of them as one likes; here are the first.
It runs in a process of its own, which forks: this one may have threads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..support.paths import ROOT

pytest.importorskip("resource")
if not Path("/proc/self/statm").exists():
    pytest.skip("reads its own size from /proc", allow_module_level=True)


FIRST = 60
"""Packages; there are 54 kinds."""

TRAP = """
import sys
from pathlib import Path
from tests.hostile.children import open_under_caps
print(open_under_caps("trap", Path(sys.argv[1]), Path(), Path()).result)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **one_thread},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def test_every_package_is_shown_loaded_or_refused() -> None:
    done = run("scripts/open_hostile_packages.py", "--count", str(FIRST))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = dict(line.split(maxsplit=1)[::-1] for line in done.stdout.splitlines()[:4])
    assert set(lines) == {"inspect: refused", "inspect: shown", "load: loaded", "load: refused"}
    assert int(lines["inspect: refused"]) + int(lines["inspect: shown"]) == FIRST


@pytest.mark.parametrize(
    ("trap", "seen"),
    [
        ("crash", "ended by SIGABRT"),
        ("hang", "ended by SIGXCPU"),
        ("fill the memory", "out of memory"),
        ("flood", "a flood of messages"),
        ("raise", "an exception"),
    ],
)
def test_what_must_not_happen_would_be_seen(trap: str, seen: str) -> None:
    done = run("-c", TRAP, trap)
    assert done.stdout.strip() == seen, done.stderr

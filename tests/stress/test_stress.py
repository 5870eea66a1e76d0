"""Everything at once, for a minute: see `tests.stress`."""

from __future__ import annotations

import os
import subprocess
import sys

from ..support.paths import ROOT

SECONDS = float(os.environ.get("HIVELLM_STRESS_SECONDS", "60"))


def test_nothing_hangs_dies_or_answers_wrongly_when_everything_happens_at_once():
    command = [sys.executable, "-m", "tests.stress", "--seconds", str(SECONDS)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS + 300,
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""Everything at once, for half a minute under each policy: see `tests.stress`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ..support.paths import ROOT

SECONDS = float(os.environ.get("HIVELLM_STRESS_SECONDS", "35"))


@pytest.mark.parametrize("policy", [[], ["--as-on-a-device"]], ids=["cpu", "device"])
def test_nothing_hangs_dies_or_answers_wrongly_when_everything_happens_at_once(policy):
    command = [sys.executable, "-m", "tests.stress", "--seconds", str(SECONDS), *policy]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS + 300,
    )
    assert done.returncode == 0, done.stdout + done.stderr

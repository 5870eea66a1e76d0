"""How OpenMP's threads wait, as GNU's OpenMP itself reports it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
before = dict(os.environ)
from hivellm_lite.engine import OPENMP_SETTINGS
assert dict(os.environ) == before
print(OPENMP_SETTINGS)
"""


def loaded_with(**settings: str) -> tuple[str, dict[str, str]]:
    """What the engine says, and what OpenMP does, in a process with these settings."""
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**environment, **settings, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = {}
    for line in done.stderr.splitlines():
        name, equals, value = line.strip().partition(" = ")
        if equals and name.split()[-1] in names:
            found[name.split()[-1]] = value.strip("'")
    if "GOMP_SPINCOUNT" not in found:
        pytest.skip("llama.cpp does not use GNU's OpenMP here")
    return done.stdout.strip(), found


def test_threads_spin_a_little_however_many_there_are():
    said, found = loaded_with()
    assert said == "{'GOMP_SPINCOUNT': '300'}"
    # the policy is for a process with more threads than cores, and the count is for all others
    assert found == {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "300"}


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"OMP_WAIT_POLICY": "passive"}, ("PASSIVE", "0")),
        ({"GOMP_SPINCOUNT": "77"}, ("PASSIVE", "77")),
    ],
)
def test_what_the_user_has_set_stays(setting, expected):
    said, found = loaded_with(**setting)
    assert said == str(setting)
    assert (found["OMP_WAIT_POLICY"], found["GOMP_SPINCOUNT"]) == expected

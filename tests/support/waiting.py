"""Waiting for what another thread does, without asserting how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable

LIMIT = 60.0
"""Seconds after which a test fails instead of waiting for ever."""


def wait_until(holds: Callable[[], bool]) -> None:
    """Return as soon as ``holds()``; fail where it never does."""
    until = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.005)

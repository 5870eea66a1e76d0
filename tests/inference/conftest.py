"""What tests of answers share."""

from __future__ import annotations

import faulthandler
from collections.abc import Iterator

import pytest


@pytest.fixture
def watchdog() -> Iterator[None]:
    """A hang ends the run with the tracebacks of all threads."""
    faulthandler.dump_traceback_later(120, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()

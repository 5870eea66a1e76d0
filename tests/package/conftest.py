"""Fixtures of the tests of packages."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["p.expert", "p.zip", "folder"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where to write a package: each form in turn."""
    return tmp_path / str(request.param)

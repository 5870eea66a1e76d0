"""Fixtures of the tests of this room."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from .grammar_inputs import SUM


@pytest.fixture
def sums(tmp_path) -> Path:
    path = tmp_path / "sums.gbnf"
    path.write_text(SUM)
    return path


@pytest.fixture
def stdin(monkeypatch):
    """Give the tool these bytes on its standard input."""
    return lambda data: monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

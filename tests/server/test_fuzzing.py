"""Some seconds of what `fuzzing` does for as long as one likes."""

from __future__ import annotations

import importlib.util

import pytest

from .fuzzing import fuzz

SECONDS = 10


@pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None, reason="schemathesis is not installed"
)
def test_no_request_of_the_document_breaks_the_server(manager, tmp_path):
    printed = fuzz(manager, tmp_path, SECONDS, seed=1)
    assert "No issues found" in printed

"""What tests need of the system, in the words of their reasons."""

from __future__ import annotations

import os

import pytest

__all__ = ["needs_posix"]


def needs_posix(what: str) -> pytest.MarkDecorator:
    """Skip the test, or the tests of the class, on Windows; ``what`` says what they need."""
    return pytest.mark.skipif(os.name != "posix", reason=f"needs POSIX: {what}")

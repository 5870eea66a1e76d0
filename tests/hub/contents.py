"""What the tests' repository holds."""

from __future__ import annotations

REPOSITORY = "owner/name"
SMALL, LARGE = b"small\n", bytes(range(256)) * 2000

"""Base models that the tests of this room search for."""

from __future__ import annotations

from pathlib import Path

from ..support.paths import MODELS

MODEL = MODELS / "tiny-llama"
SHARDED = MODELS / "tiny-llama3"
GGUF = b"GGUF" + bytes(2000)


def files_of(folder: Path) -> dict[str, bytes]:
    """A folder's files as a repository of the Hub has them."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}

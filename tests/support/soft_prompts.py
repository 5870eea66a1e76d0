"""Packages with soft prompts, and the logits of PEFT for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .packages import (
    adapter_files,
    manifest_bytes,
    manifest_v2,
    safetensors_bytes,
    write_package,
)
from .paths import FIXTURES

__all__ = ["PLACE", "REFERENCE", "listed_package", "matrix_package", "peft_package"]

PLACE = FIXTURES / "soft_prompts"
REFERENCE = np.load(PLACE / "reference.npz")


def peft_package(path: Path, name: str, **manifest: object) -> Path:
    """A package whose adapter is a soft prompt."""
    files = {one.name: one.read_bytes() for one in (PLACE / name).iterdir()}
    files["manifest.json"] = manifest_bytes(manifest_v2(name=path.stem, **manifest))
    return write_package(path, files)


def listed_package(
    path: Path,
    adapter: str = "tiny-llama/plain",
    torch_file: str = "parameter.pt",
    **prompts: bytes | None,
) -> Path:
    """A package with an adapter and, in its manifest, soft prompts; None for a missing file."""
    files = adapter_files(*adapter.split("/"))
    contents = prompts or {"intro": (PLACE / "torch" / torch_file).read_bytes()}
    suffix = Path("x" + torch_file).suffix
    listed = []
    for name, content in contents.items():
        listed.append({"name": name, "path": f"soft/{name}{suffix}"})
        if content is not None:
            files[f"soft/{name}{suffix}"] = content
    files["manifest.json"] = manifest_bytes(manifest_v2(name=path.stem, soft_prompts=listed))
    return write_package(path, files)


def matrix_package(path: Path, rows: np.ndarray[Any, Any]) -> Path:
    """A LoRA with a soft prompt of these rows as safetensors."""
    return listed_package(path, torch_file=".safetensors", m=safetensors_bytes({"rows": rows}))

"""Finds the soft prompts that a manifest lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..manifest.records import Manifest
from .files import CONFIG, WEIGHTS, file_in, safe_path

__all__ = ["SoftPromptFiles", "find_soft_prompts", "soft_prompt_paths"]

MAX_SOFT_PROMPTS = 16
"""Soft prompts of one manifest that are looked at; real ones list at most one."""

_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class SoftPromptFiles:
    """A soft prompt of a package: one file, or a folder that PEFT saved, which has a config."""

    name: str
    weights: Path
    config: Path | None


def find_soft_prompts(
    root: Path, manifest: Manifest
) -> tuple[tuple[SoftPromptFiles, ...], tuple[str, ...]]:
    """The soft prompts that can be opened, in the manifest's order, and why others cannot.

    An entry without a name has the name of its file.
    """
    found: dict[str, SoftPromptFiles] = {}
    notes = []
    for index, entry in enumerate(manifest.soft_prompts[:MAX_SOFT_PROMPTS]):
        path = safe_path(entry.path or "")
        name = entry.name or (Path(path).stem if path else f"soft_prompts[{index}]")
        what = f"the soft prompt {name!r:.80} is left out"
        if path is None:
            notes.append(f"{what}: its path {entry.path!r:.80} is no path in the package")
            continue
        config = None
        weights = file_in(root, path)
        if weights is None and (weights := file_in(root, f"{path}/{WEIGHTS}")) is not None:
            config = file_in(root, f"{path}/{CONFIG}")
        if weights is None:
            notes.append(f"{what}: {path!r:.80} is not in the package")
        elif not weights.name.lower().endswith(_SUFFIXES):
            notes.append(f"{what}: {path!r:.80} is none of {', '.join(_SUFFIXES)}")
        elif name in found:
            notes.append(f"{what}: another one has this name")
        else:
            found[name] = SoftPromptFiles(name, weights, config)
    if (n_more := len(manifest.soft_prompts) - MAX_SOFT_PROMPTS) > 0:
        notes.append(f"{n_more} more soft prompts are left out: {MAX_SOFT_PROMPTS} are looked at")
    return tuple(found.values()), tuple(notes)


def soft_prompt_paths(manifest: Manifest) -> frozenset[str]:
    """The files that the manifest lists as soft prompts, whether they are there or not."""
    paths = (safe_path(entry.path or "") for entry in manifest.soft_prompts[:MAX_SOFT_PROMPTS])
    return frozenset(
        path for path in paths if path is not None and path.lower().endswith(_SUFFIXES)
    )

"""Converts a package's soft prompt: the part of `soft_prompts` that loads numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cache.digests import digest_of
from ..cache.store import Cache
from ..converters.gguf.header import GGUFHeader
from ..converters.peft.prompts import prompt_method
from ..converters.soft_prompts import (
    FORMAT_VERSION,
    convert_soft_prompt,
    read_soft_prompt,
    soft_prompt_layout,
    write_soft_prompt,
)
from ..package.opening import Package, SoftPromptFiles, check_unchanged
from .keys import SOFT_PROMPT_FILE
from .loss import NOTHING_LOST
from .report import SoftPromptReport

__all__ = [
    "SoftPromptBuilder",
    "converted_soft_prompt",
    "own_soft_prompt",
    "soft_prompt_key",
    "soft_prompt_layout",
]


@dataclass(frozen=True)
class SoftPromptBuilder:
    """Writes the soft prompt ``files`` for bases with the layout of ``header``."""

    files: SoftPromptFiles
    header: GGUFHeader

    def build(self, folder: Path) -> SoftPromptReport:
        """Write the soft prompt into ``folder``. Raises ConversionError."""
        files = self.files
        rows = read_soft_prompt(files.weights, files.config)
        path = folder / SOFT_PROMPT_FILE
        write_soft_prompt(convert_soft_prompt(rows, self.header, files.weights), path)
        return SoftPromptReport(
            methods=(prompt_method(files.config) or "soft prompt",),
            why="its rows stand before the prompt",
            bytes=path.stat().st_size,
            loss=NOTHING_LOST,
            virtual_tokens=len(rows),
        )


def own_soft_prompt(package: Package) -> SoftPromptFiles | None:
    """The package's adapter, if that is a soft prompt: of PEFT, or the manifest's first one.

    Raises ConversionError for a config that cannot be read.
    """
    adapter = package.adapter
    for listed in package.soft_prompts:
        if listed.weights == adapter.weights:
            return listed
    method = prompt_method(adapter.config)
    return None if method is None else SoftPromptFiles(method, adapter.weights, adapter.config)


def soft_prompt_key(package: Package, name: str, header: GGUFHeader) -> str:
    """The cache key of a soft prompt, which depends on little of the base."""
    layout = soft_prompt_layout(header)
    return digest_of("soft prompt", FORMAT_VERSION, package.digest, name, layout)


def converted_soft_prompt(
    files: SoftPromptFiles, package: Package, header: GGUFHeader, cache: Cache
) -> Path:
    """The soft prompt in the cache; it is converted if it is missing. Raises ConversionError."""

    def build(folder: Path) -> Mapping[str, Any]:
        report = SoftPromptBuilder(files, header).build(folder)
        check_unchanged(package, cache)
        return {"expert": package.manifest.identity, "soft_prompt": report.as_dict()}

    key = soft_prompt_key(package, files.name, header)
    entry, _ = cache.get_or_build("prompts", key, build, sources=[package.source])
    return entry.path / SOFT_PROMPT_FILE

"""Makes a package's soft prompt ready for one base: checked, and kept as llama.cpp takes it.

A soft prompt is the package's adapter, as PEFT saves it, or the manifest lists it beside one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cache.digests import digest_of
from ..cache.store import Cache
from ..converters.gguf.header import GGUFHeader, read_gguf_header
from ..converters.peft.prompts import prompt_method
from ..converters.soft_prompts import (
    FORMAT_VERSION,
    convert_soft_prompt,
    read_soft_prompt,
    soft_prompt_layout,
    write_soft_prompt,
)
from ..errors import ConversionError, PackageError
from ..package.opening import Package, SoftPromptFiles, check_unchanged
from .loss import NOTHING_LOST
from .report import SoftPromptReport

__all__ = [
    "FILE",
    "NO_SOFT_PROMPT",
    "PreparedSoftPrompt",
    "SoftPromptBuilder",
    "own_soft_prompt",
    "prepare_soft_prompt",
    "soft_prompt_key",
]

NO_SOFT_PROMPT = "none"
"""What the option ``soft_prompt`` says for no soft prompt."""

FILE = "prompt.safetensors"
"""The name of a soft prompt in its cache entry."""


@dataclass(frozen=True)
class PreparedSoftPrompt:
    """A soft prompt ready to load. ``notes`` say why ``path`` is None, or name others."""

    path: Path | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SoftPromptBuilder:
    """Writes the soft prompt ``files`` for bases with the layout of ``header``."""

    files: SoftPromptFiles
    header: GGUFHeader

    def build(self, folder: Path) -> SoftPromptReport:
        """Write the soft prompt into ``folder``. Raises ConversionError."""
        files = self.files
        rows = read_soft_prompt(files.weights, files.config)
        path = folder / FILE
        write_soft_prompt(convert_soft_prompt(rows, self.header, files.weights), path)
        return SoftPromptReport(
            methods=(prompt_method(files.config) or "soft prompt",),
            why="its rows stand before the prompt",
            bytes=path.stat().st_size,
            loss=NOTHING_LOST,
            virtual_tokens=len(rows),
        )


def own_soft_prompt(package: Package) -> SoftPromptFiles | None:
    """The package's adapter, if that is a soft prompt of PEFT.

    Raises ConversionError for a prompt of a kind that is not covered.
    """
    adapter = package.adapter
    method = prompt_method(adapter.config)
    return None if method is None else SoftPromptFiles(method, adapter.weights, adapter.config)


def soft_prompt_key(package: Package, name: str, header: GGUFHeader) -> str:
    """The cache key of a soft prompt, which depends on little of the base."""
    layout = soft_prompt_layout(header)
    return digest_of("soft prompt", FORMAT_VERSION, package.digest, name, layout)


def prepare_soft_prompt(
    package: Package, base: Path, cache: Cache, wanted: str | None
) -> PreparedSoftPrompt:
    """The soft prompt of the manifest that ``wanted`` names, by default the first, for ``base``.

    A default that cannot be used is left out, with a note. A package whose adapter is a soft
    prompt has no other one by default. Raises ConversionError where the wanted one cannot be
    used, and PackageError where the package has none of the name.
    """
    if wanted == NO_SOFT_PROMPT:
        return PreparedSoftPrompt(None)
    listed = {one.name: one for one in package.soft_prompts}
    if wanted is not None:
        if wanted not in listed:
            names = ", ".join(map(repr, listed)) or "none that can be opened"
            raise PackageError(
                f"{package.manifest.identity}: no soft prompt {wanted!r:.80}\n"
                f"The package has {names:.800}."
            )
        return PreparedSoftPrompt(_prepare(listed[wanted], package, base, cache))
    if not listed or own_soft_prompt(package) is not None:
        return PreparedSoftPrompt(None)
    first, *others = listed.values()
    notes: tuple[str, ...] = ()
    if others:
        names = ", ".join(repr(one.name) for one in others)
        notes = (f"the soft prompt {first.name!r} is used; others are {names:.800}",)
    try:
        return PreparedSoftPrompt(_prepare(first, package, base, cache), notes)
    except ConversionError as error:
        return PreparedSoftPrompt(None, (f"the soft prompt {first.name!r} is left out: {error}",))


def _prepare(files: SoftPromptFiles, package: Package, base: Path, cache: Cache) -> Path:
    header = read_gguf_header(base)

    def build(folder: Path) -> Mapping[str, Any]:
        report = SoftPromptBuilder(files, header).build(folder)
        check_unchanged(package, cache)
        return {"expert": package.manifest.identity, "soft_prompt": report.as_dict()}

    key = soft_prompt_key(package, files.name, header)
    entry, _ = cache.get_or_build("prompts", key, build, sources=[package.source])
    return entry.path / FILE

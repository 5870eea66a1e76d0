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
from ..package.soft_prompts import find_soft_prompts
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

_SCALED = (
    "the soft prompt acts as in Transformers 5; earlier versions multiplied its rows by the square "
    "root of their width on this architecture"
)

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


def prepare_soft_prompt(
    package: Package, base: Path, cache: Cache, wanted: str | None, own: Path | None
) -> PreparedSoftPrompt:
    """What stands before the prompts of an expert on ``base``.

    That is the soft prompt of the manifest that ``wanted`` names; by default ``own``, the
    converted adapter if it is a soft prompt, or else the first that the manifest lists. A listed
    one that cannot be used is left out with a note, unless it is wanted. Raises ConversionError
    where the wanted one cannot be used, and PackageError where the package has none of the name.
    """
    if wanted == NO_SOFT_PROMPT:
        return PreparedSoftPrompt(None)
    listed = package.soft_prompts
    names = {one.name: one for one in listed}
    _, left_out = find_soft_prompts(package.root, package.manifest)
    if wanted is not None and wanted not in names:
        found = ", ".join(map(repr, names)) or "none that can be opened"
        raise PackageError(
            f"{package.manifest.identity}: no soft prompt {wanted!r:.80}\n"
            f"The package has {found:.800}."
        )
    if wanted is None and own is None and not listed:
        return PreparedSoftPrompt(None, left_out)
    header = read_gguf_header(base)
    _, scales = soft_prompt_layout(header)
    notes: tuple[str, ...] = (_SCALED,) if scales else ()
    if wanted is not None:
        return PreparedSoftPrompt(_prepare(names[wanted], package, header, cache), notes)
    if own is not None:
        return PreparedSoftPrompt(own, notes)
    first, *others = listed
    if others:
        found = ", ".join(repr(one.name) for one in others)
        notes += (f"the soft prompt {first.name!r} is used; others are {found:.800}",)
    try:
        return PreparedSoftPrompt(_prepare(first, package, header, cache), (*left_out, *notes))
    except ConversionError as error:
        reason = str(error).splitlines()[0]
        note = f"the soft prompt {first.name!r} is left out: {reason}"
        return PreparedSoftPrompt(None, (*left_out, note))


def _prepare(files: SoftPromptFiles, package: Package, header: GGUFHeader, cache: Cache) -> Path:
    def build(folder: Path) -> Mapping[str, Any]:
        report = SoftPromptBuilder(files, header).build(folder)
        check_unchanged(package, cache)
        return {"expert": package.manifest.identity, "soft_prompt": report.as_dict()}

    key = soft_prompt_key(package, files.name, header)
    entry, _ = cache.get_or_build("prompts", key, build, sources=[package.source])
    return entry.path / FILE

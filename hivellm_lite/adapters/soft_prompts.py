"""Makes a package's soft prompt ready for one base: checked, and kept as llama.cpp takes it.

A soft prompt is the package's adapter, as PEFT saves it, or the manifest lists it beside one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..cache.store import Cache
from ..converters.gguf.header import read_gguf_header
from ..errors import ConversionError, PackageError
from ..package.opening import Package
from ..package.soft_prompts import find_soft_prompts

__all__ = ["NO_SOFT_PROMPT", "PreparedSoftPrompt", "prepare_soft_prompt"]

NO_SOFT_PROMPT = "none"
"""What the option ``soft_prompt`` says for no soft prompt."""

_SCALED = (
    "the soft prompt acts as in Transformers 5; earlier versions multiplied its rows by the square "
    "root of their width on this architecture"
)


@dataclass(frozen=True)
class PreparedSoftPrompt:
    """A soft prompt ready to load. ``notes`` say why ``path`` is None, or name others."""

    path: Path | None
    notes: tuple[str, ...] = ()


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
    from .soft_prompt_conversion import converted_soft_prompt, soft_prompt_layout  # loads numpy

    header = read_gguf_header(base)
    _, scales = soft_prompt_layout(header)
    notes: tuple[str, ...] = (_SCALED,) if scales else ()
    if wanted is not None:
        return PreparedSoftPrompt(
            converted_soft_prompt(names[wanted], package, header, cache), notes
        )
    if own is not None:
        return PreparedSoftPrompt(own, notes)
    first, *others = listed
    if others:
        found = ", ".join(repr(one.name) for one in others)
        notes += (f"the soft prompt {first.name!r} is used; others are {found:.800}",)
    try:
        path = converted_soft_prompt(first, package, header, cache)
        return PreparedSoftPrompt(path, (*left_out, *notes))
    except ConversionError as error:
        reason = str(error).splitlines()[0]
        note = f"the soft prompt {first.name!r} is left out: {reason}"
        return PreparedSoftPrompt(None, (*left_out, note))

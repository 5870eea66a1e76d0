"""Base models on the Hub: which files of a repository are wanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from ..converters.checkpoints.index import (
    CONFIG,
    INDEX,
    SMALL_FILES,
    WEIGHTS,
    listed_files,
    weight_files,
)
from ..converters.gguf.published_parts import first_parts, part_names, without_number
from ..errors import BaseNotFoundError, ConversionError
from ..progress import Progress
from .connection import Hub, Listing
from .download import fetch_files

__all__ = ["choose_gguf", "fetch_gguf", "fetch_weights", "is_complete", "named_gguf"]

_SPELLINGS = {"f16": "f16|fp16", "f32": "f32|fp32"}
"""Quantisations that file names spell in several ways."""

_NAMES_SHOWN = 10


def choose_gguf(names: Iterable[str], quantization: str, *, any_single: bool = False) -> str | None:
    """The .gguf file of this quantisation, by its name; None if there is none.

    A model in parts is chosen by its first part. ``mmproj`` files, which hold image encoders,
    are no base models. If several names match, a whole file comes before parts, and the shortest
    wins: ``x-Q8_0`` before ``x-2507-Q8_0``. With
    ``any_single``, a single .gguf file is chosen whatever its quantisation, unless there are
    safetensors beside it.
    """
    names = tuple(names)
    models = _models(names)
    spellings = _SPELLINGS.get(quantization, quantization)
    pattern = re.compile(rf"(?:^|[-._])(?:{spellings})\.gguf$", re.IGNORECASE)
    if found := [name for name in models if pattern.search(without_number(name))]:
        return min(found, key=lambda name: (len(part_names(name)) > 1, len(name), name))
    return models[0] if any_single and len(models) == 1 and not _has_weights(names) else None


def named_gguf(names: Iterable[str], asked: str) -> str | None:
    """The file that ``asked`` names, or the first part of the model that it names.

    That may be any part, or the name without a part's number.
    """
    names = tuple(names)
    if asked in names:
        return part_names(asked)[0]
    found = first_parts(names, asked)
    return found[0] if len(found) == 1 else None


def is_complete(folder: Path) -> bool:
    """Whether a Hugging Face folder has its configuration, tokenizer and all weights."""
    tokenizer = any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model"))
    if not tokenizer or not (folder / CONFIG).is_file():
        return False
    try:
        weight_files(folder)
    except ConversionError:
        return False
    return True


def fetch_gguf(
    hub: Hub,
    listing: Listing,
    quantization: str,
    progress: Progress | None,
    *,
    any_single: bool = False,
) -> Path | None:
    """Download the .gguf file that `choose_gguf` chooses, or that the reference names.

    None if the repository has no such file. Raises BaseNotFoundError if a named file is
    missing.
    """
    asked = listing.reference.file
    name = named_gguf(listing.names, asked) if asked else None
    if asked is not None and name is None:
        raise BaseNotFoundError(
            f"{listing.reference.repository} holds no file {asked}\n{_offer(listing)}"
        )
    name = name or choose_gguf(listing.names, quantization, any_single=any_single)
    if name is None:
        return None
    parts = part_names(name)
    if absent := sorted(set(parts) - set(listing.names)):
        raise BaseNotFoundError(
            f"{listing.reference.repository} is not complete: {absent[0]} is not there, and the "
            f"model has {len(parts)} files"
        )
    return fetch_files(hub, listing, parts, progress) / name


def fetch_weights(
    hub: Hub, listing: Listing, progress: Progress | None, check: Callable[[Path], object]
) -> Path:
    """Download configuration, tokenizer and safetensors; returns their folder.

    ``check(folder)`` is called once the configuration is there, before gigabytes are fetched.
    It may raise if the configuration alone shows that the model cannot be used.
    """
    if not _has_weights(listing.names) or CONFIG not in listing.names:
        raise BaseNotFoundError(
            f"{listing.reference.repository} holds no base model that can be used: "
            f"no {CONFIG} with safetensors\n{_offer(listing)}"
        )
    folder = fetch_files(hub, listing, set(SMALL_FILES) & set(listing.names))
    check(folder)
    shards = _shards(folder, listing.names)
    absent = sorted(set(shards) - set(listing.names))
    if absent or not shards:
        raise BaseNotFoundError(
            f"{listing.reference.repository} is not complete: {INDEX} lists "
            f"{absent[0] + ', which is not there' if absent else 'no files'}"
        )
    return fetch_files(hub, listing, shards, progress)


def _models(names: Iterable[str]) -> list[str]:
    """The .gguf files at the top of a repository, one name for each model: its first part."""
    files = [name for name in names if name.lower().endswith(".gguf") and "/" not in name]
    return first_parts([name for name in files if "mmproj" not in name.lower()])


def _has_weights(names: Iterable[str]) -> bool:
    return not {WEIGHTS, INDEX}.isdisjoint(names)


def _shards(folder: Path, names: Iterable[str]) -> list[str]:
    """The weights' file names; none if ``model.safetensors.index.json`` cannot be read.

    As in Transformers, an index beside ``model.safetensors`` does not count. ``names`` are the
    files that the repository has.
    """
    if WEIGHTS in names or not (folder / INDEX).is_file():
        return [WEIGHTS]
    try:
        return listed_files(folder / INDEX)
    except ConversionError:
        return []


def _offer(listing: Listing) -> str:
    """What the user could ask for instead, in words."""
    repository = listing.reference.repository
    if models := _models(listing.names):
        listed = "\n".join(f"  {repository}:{name}" for name in models)
        return f"It has these .gguf files, which can be asked for with base= (--base):\n{listed}"
    found = ", ".join(listing.names[:_NAMES_SHOWN]) or "nothing"
    return f"It holds {found}{' …' if len(listing.names) > _NAMES_SHOWN else ''}"

"""Converts a Hugging Face folder to a GGUF in the cache, once for each of its states."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..cache.digests import digest_file, digest_of
from ..cache.entries import CacheEntry
from ..cache.sources import SourceWatch
from ..cache.store import Cache
from ..converters.base.version import FORMAT_VERSION
from ..converters.file_types import QUANTIZATIONS
from ..converters.tokenizers.chat_template import CHAT_TEMPLATE_FILES
from ..errors import OutOfMemoryError
from ..package.opening import Package
from ..progress import Progress
from ..storage.disk_space import require_space

__all__ = [
    "QUANTIZATIONS",
    "Origin",
    "convert_folder",
    "converted_bases",
    "converted_for",
    "gguf_of",
    "is_current",
    "notes_of",
]


_SUFFIXES = (".json", ".jinja", ".model", ".safetensors")
"""Suffixes of the files of a model folder that the result depends on."""


@dataclass(frozen=True)
class Origin:
    """Where a model folder comes from. A folder from the Hub is itself named by a commit."""

    name: str
    repository: str | None = None
    revision: str | None = None


def convert_folder(
    folder: Path,
    cache: Cache,
    quantization: str,
    progress: Progress | None = None,
    *,
    origin: Origin | None = None,
    pre_tokenizer: str | None = None,
) -> tuple[CacheEntry, bool]:
    """The entry with ``model.gguf``, and whether it was converted just now.

    ``pre_tokenizer`` is llama.cpp's name for the splitting of text, where it is not recognised.
    Raises ConversionError for a folder that cannot be converted, LoadError if the disk has no
    room or the folder changes meanwhile, and OutOfMemoryError.
    """

    def list_files() -> list[Path]:
        own = sorted(f for f in folder.iterdir() if f.suffix in _SUFFIXES)
        templates = (folder / path for path in CHAT_TEMPLATE_FILES if "/" in path)
        return own + [template for template in templates if template.is_file()]

    state, files = SourceWatch(list_files), list_files()
    entry = cache.find_by_sources(
        "bases",
        files,
        quantization=quantization,
        pre_tokenizer=pre_tokenizer,
        format_version=FORMAT_VERSION,
    )
    if entry is not None:
        return entry, False
    from ..converters.base import convert_base, estimate_size  # loads numpy

    require_space(
        cache.root,
        estimate_size(folder, quantization),
        "converting the base",
        "Make room, run 'hivellm-lite cache prune', or set HIVELLM_HOME to another disk.",
    )
    digests = [(str(f.relative_to(folder)), digest_file(f)) for f in files]
    key = digest_of("base", FORMAT_VERSION, digests, quantization, pre_tokenizer)
    origin = origin or Origin(folder.resolve().name)

    def build(target: Path) -> dict[str, object]:
        def report(done: int, total: int) -> None:
            if progress is not None:
                progress("Converting the base", done, total)

        try:
            written = convert_base(
                folder,
                target / "model.gguf",
                quant=quantization,
                progress=report,
                pre_tokenizer=pre_tokenizer,
            )
        except MemoryError:
            raise OutOfMemoryError(
                f"not enough memory to convert {folder}: its largest tensor does not fit"
            ) from None
        return {
            "name": origin.name,
            "origin": str(folder.resolve()),
            "repository": origin.repository,
            "revision": origin.revision,
            "quantization": quantization,
            "pre_tokenizer": pre_tokenizer,
            "format_version": FORMAT_VERSION,
            "digests": dict(digests),
            "notes": list(written.notes),
        }

    return cache.get_or_build("bases", key, state.checked(build), sources=files)


def converted_bases(
    cache: Cache, *, name: str | None, repository: str | None
) -> Iterator[CacheEntry]:
    """Entries that were converted from a base of this name, or from this repository.

    An older version of the library may have made them; `is_current` tells.
    """
    for entry in cache.entries("bases"):
        if _same(entry.info.get("name"), name) or _same(entry.info.get("repository"), repository):
            yield cache.give_out(entry)


def converted_for(package: Package, cache: Cache) -> Iterator[CacheEntry]:
    """Entries that were converted from the base inside ``package``.

    If the package holds no base: entries that were converted from a base of the right name.
    """
    inside = package.base_folder and str(package.base_folder.resolve())
    for entry in cache.entries("bases"):
        if inside is None:
            found = _same(entry.info.get("name"), package.manifest.base.short_name)
        else:
            found = entry.info.get("origin") == inside
        if found:
            yield entry


def notes_of(entry: CacheEntry) -> tuple[str, ...]:
    """Where the converted base departs from Transformers."""
    notes = entry.info.get("notes")
    return tuple(note for note in notes if isinstance(note, str)) if isinstance(notes, list) else ()


def is_current(entry: CacheEntry) -> bool:
    """Whether this version of the library would write the same file."""
    return entry.info.get("format_version") == FORMAT_VERSION


def gguf_of(entry: CacheEntry) -> Path:
    return entry.path / "model.gguf"


def _same(found: object, wanted: str | None) -> bool:
    return isinstance(found, str) and wanted is not None and found.lower() == wanted.lower()

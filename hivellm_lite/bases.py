"""Finding the base model that an expert belongs to, as a GGUF file.

Places, in this order:

1. the path that the caller gives: a ``.gguf`` file, a folder with one, or a
   Hugging Face folder (``config.json`` and safetensors), which is converted;
2. ``base/`` inside the package, a Hugging Face folder;
3. the folders of ``HIVELLM_MODELS`` (separated as in ``PATH``) and ``models/``
   in the cache folder, for a ``NAME*.gguf`` or a folder ``NAME``;
4. bases of that name that were converted before.

A name matches by its last path component, without regard to case.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .cache import Cache, digest_file, digest_of
from .errors import BaseNotFoundError, LoadError, OutOfMemoryError
from .package import Package

__all__ = ["QUANTIZATIONS", "BaseFile", "find_base"]

QUANTIZATIONS = ("q8_0", "f16", "bf16", "f32")
"""What a Hugging Face folder can be converted to; the first is the default."""

CONVERTER_VERSION = 1
"""Part of every cache key; raised when the same input gives another file."""

Progress = Callable[[str, int, int], None]
"""Called with a label, the bytes done and the bytes in all."""


@dataclass(frozen=True)
class BaseFile:
    """A base model ready to load: its GGUF, where it came from, and whether it was
    converted just now.
    """

    path: Path
    origin: str
    converted: bool = False


def find_base(
    package: Package,
    *,
    given: str | os.PathLike[str] | None,
    cache: Cache,
    quantization: str = QUANTIZATIONS[0],
    progress: Progress | None = None,
) -> BaseFile:
    """The base of ``package``; see the module's docstring for the places.

    Raises BaseNotFoundError that lists every place, ConversionError for a
    folder that cannot be converted.
    """
    if quantization not in QUANTIZATIONS:
        known = ", ".join(QUANTIZATIONS)
        raise LoadError(f"unknown quantization {quantization!r}; known: {known}")
    if given is not None:
        return _from_path(Path(given).expanduser(), cache, quantization, progress)
    if package.base_folder is not None:
        return _convert(package.base_folder, cache, quantization, progress)
    name = package.manifest.base.short_name
    looked = []
    for folder in _model_folders(cache):
        looked.append(f"{folder}{os.sep}{name}*")
        if (path := _named(folder, name)) is not None:
            return _from_path(path, cache, quantization, progress)
    looked.append(f"converted bases in {cache.root / 'bases'}")
    for entry in cache.entries():
        same = entry.kind == "bases" and str(entry.info.get("name", "")).lower() == name.lower()
        if same and entry.info.get("quantization") == quantization:
            return BaseFile(entry.path / "model.gguf", str(entry.info.get("origin", "cache")))
    raise BaseNotFoundError(
        f"{package.manifest.identity} needs the base model {name!r}, which was not found\n"
        + "\n".join(f"  looked for {place}" for place in looked)
        + "\nGive it with base=PATH (--base PATH): a .gguf file or a Hugging Face folder; "
        "or put it into one of these folders."
    )


def _model_folders(cache: Cache) -> Iterator[Path]:
    for text in os.environ.get("HIVELLM_MODELS", "").split(os.pathsep):
        if text:
            yield Path(text).expanduser()
    yield cache.root / "models"


def _named(folder: Path, name: str) -> Path | None:
    """The entry of ``folder`` that carries the name: exactly, or as ``name….gguf``."""
    if not folder.is_dir():
        return None
    wanted = name.lower()
    entries = sorted(folder.iterdir())
    for entry in entries:
        if entry.name.lower() in (wanted, f"{wanted}.gguf"):
            return entry
    return next(
        (e for e in entries if e.suffix == ".gguf" and e.name.lower().startswith(wanted)), None
    )


def _from_path(path: Path, cache: Cache, quantization: str, progress: Progress | None) -> BaseFile:
    if path.is_file():
        return BaseFile(path, str(path))
    if not path.is_dir():
        raise BaseNotFoundError(
            f"no base model at {path}: no such file or folder\n"
            "Give a .gguf file or a Hugging Face folder (config.json, *.safetensors)."
        )
    if (path / "config.json").is_file():
        return _convert(path, cache, quantization, progress)
    files = sorted(path.glob("*.gguf"))
    if len(files) == 1:
        return BaseFile(files[0], str(files[0]))
    found = ", ".join(f.name for f in files) if files else "neither config.json nor a .gguf file"
    raise BaseNotFoundError(
        f"{path} is not one base model: found {found}\n"
        "Give one .gguf file, or a Hugging Face folder (config.json, *.safetensors)."
    )


def _convert(folder: Path, cache: Cache, quantization: str, progress: Progress | None) -> BaseFile:
    """The folder as a GGUF in the cache, converted unless that was done before."""
    from .converters.base import convert_base, estimate_size

    files = sorted(f for f in folder.iterdir() if f.suffix in (".json", ".safetensors", ".model"))
    if (entry := cache.find_by_sources("bases", files, quantization=quantization)) is not None:
        return BaseFile(entry.path / "model.gguf", str(folder))
    size = estimate_size(folder, quantization)
    _check_disk(cache.root, size)
    digests = [(f.name, digest_file(f)) for f in files]
    key = digest_of("base", CONVERTER_VERSION, digests, quantization)

    def build(target: Path) -> dict[str, object]:
        report = None if progress is None else lambda done, total: progress("base", done, total)
        try:
            convert_base(folder, target / "model.gguf", quant=quantization, progress=report)
        except MemoryError:
            raise OutOfMemoryError(
                f"not enough memory to convert {folder}: its largest tensor does not fit"
            ) from None
        return {
            "name": folder.resolve().name,
            "origin": str(folder.resolve()),
            "quantization": quantization,
        }

    entry, built = cache.get_or_build("bases", key, build, sources=files)
    return BaseFile(entry.path / "model.gguf", str(folder), built)


def _check_disk(root: Path, needed: int) -> None:
    place = root
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise LoadError(
            f"converting the base needs {needed / 1e6:.0f} MB in {root}; "
            f"{free / 1e6:.0f} MB are free\n"
            "Make room, run 'hivellm-lite cache prune', or set HIVELLM_HOME to another disk."
        )

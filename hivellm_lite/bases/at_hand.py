"""Finds a base on this machine as it lies there: nothing is downloaded, and nothing converted."""

from __future__ import annotations

import os
from pathlib import Path

from ..cache.store import Cache
from ..errors import BaseNotFoundError
from ..hub import Hub
from ..hub.search import BaseSource, cached_model
from ..package.opening import Package
from ..user_paths import is_file, is_folder, shown_path, user_path
from .conversion import QUANTIZATIONS, converted_bases, gguf_of
from .names import read_known_bases
from .places import gguf_models, given_reference, model_folders, named_in, split_model

__all__ = ["base_at_hand"]


def base_at_hand(
    package: Package, *, given: str | os.PathLike[str] | None, cache: Cache
) -> Path | None:
    """The base of ``package``, as `find_base` searches for it: a GGUF file, the first one of
    several, or a Hugging Face folder. None if it is not on this machine.

    Raises BaseNotFoundError if ``given`` is not there.
    """
    found = _given(given, cache) if given is not None else _named(package, cache)
    if found is None and given is not None:
        raise BaseNotFoundError(
            f"no base model at {shown_path(given)} on this machine\n"
            "Give a .gguf file or a Hugging Face folder, or download the base with 'convert'."
        )
    return found


def _given(given: str | os.PathLike[str], cache: Cache) -> Path | None:
    reference = given_reference(given)
    if reference is None:
        return _local(user_path(given))
    for entry in converted_bases(cache, name=None, repository=reference.repository):
        return gguf_of(entry)
    return _cached(read_known_bases(cache.root).of_reference(reference))


def _named(package: Package, cache: Cache) -> Path | None:
    if package.base_folder is not None:
        return package.base_folder
    base = package.manifest.base
    for folder in model_folders(cache):
        if (path := named_in(folder, base.short_name)) is not None:
            return _local(path)
    for entry in converted_bases(cache, name=base.short_name, repository=None):
        return gguf_of(entry)
    source = read_known_bases(cache.root).of_manifest(base.name)
    return _cached(source) if source is not None else None


def _local(path: Path) -> Path | None:
    if is_file(path):
        return path
    if (first := split_model(path)) is not None:
        return first
    if not is_folder(path):
        return None
    if (path / "config.json").is_file():
        return path
    models = gguf_models(path)
    return path / models[0] if len(models) == 1 else None


def _cached(source: BaseSource) -> Path | None:
    hub = Hub.from_environment()
    found = (cached_model(hub, source, quantization) for quantization in QUANTIZATIONS)
    return next((model.path for model in found if model is not None), None)

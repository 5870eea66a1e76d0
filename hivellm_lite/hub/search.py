"""Finds one base model among its repositories: in the cache, otherwise on the Hub.

A ready GGUF of the wanted quantisation comes first, then safetensors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..converters.gguf.published_parts import part_names
from ..errors import BaseNotFoundError
from ..progress import Progress
from .cache import RepositoryCache, commit_of
from .connection import Hub
from .models import choose_gguf, fetch_gguf, fetch_weights, is_complete, named_gguf
from .reference import HubReference

__all__ = ["BaseSource", "HubModel", "cached_model", "cached_weights", "fetch_model"]


@dataclass(frozen=True)
class BaseSource:
    """Repositories of one base model: safetensors, ready GGUF files, or both.

    ``trusted``: whether .gguf files of ``weights`` may be loaded. llama.cpp's parser is not
    hardened, so a .gguf file is not loaded from a repository that only a manifest names. Its
    safetensors are read by our own reader and converted.
    """

    weights: HubReference | None
    gguf: HubReference | None = None
    trusted: bool = True

    @property
    def references(self) -> tuple[HubReference, ...]:
        return tuple(reference for reference in (self.gguf, self.weights) if reference)


@dataclass(frozen=True)
class HubModel:
    """A .gguf file or a Hugging Face folder in the cache; ``reference`` has its commit."""

    path: Path
    reference: HubReference

    @classmethod
    def at(cls, path: Path, reference: HubReference) -> HubModel:
        file = path.name if path.is_file() else None
        return cls(path, HubReference(reference.repository, commit_of(path), file))


def cached_model(hub: Hub, source: BaseSource, quantization: str) -> HubModel | None:
    """The model, if it was downloaded before."""
    for reference in filter(None, (source.gguf, source.weights if source.trusted else None)):
        if (path := _cached_gguf(hub, reference, quantization)) is not None:
            return HubModel.at(path, reference)
    if source.weights is not None and (folder := cached_weights(hub, source.weights)):
        return HubModel.at(folder, source.weights)
    return None


def cached_weights(hub: Hub, reference: HubReference) -> Path | None:
    """The snapshot's folder, if it holds everything that a conversion needs."""
    folder = RepositoryCache.of(hub, reference).snapshot(reference)
    whole = folder is not None and reference.file is None and is_complete(folder)
    return folder if whole else None


def fetch_model(
    hub: Hub,
    source: BaseSource,
    quantization: str,
    progress: Progress | None,
    check: Callable[[Path], object],
) -> HubModel:
    """Download the model. For ``check`` see `fetch_weights`.

    Raises BaseNotFoundError if no repository has the model, and LoadError if a download fails.
    """
    weights = source.weights
    if source.gguf is not None:
        try:
            listing = hub.list_files(source.gguf)
            path = fetch_gguf(hub, listing, quantization, progress, any_single=weights is None)
        except BaseNotFoundError:
            # Gone, or we are offline: asking for the safetensors tells the rest.
            if weights is None:
                raise
            path = None
        if path is not None:
            return HubModel.at(path, source.gguf)
    if weights is None:
        raise BaseNotFoundError(f"{source.gguf} has no .gguf file of quantisation {quantization}")
    listing = hub.list_files(weights)
    if source.trusted:
        path = fetch_gguf(hub, listing, quantization, progress, any_single=True)
        if path is not None:
            return HubModel.at(path, weights)
    return HubModel.at(fetch_weights(hub, listing, progress, check), weights)


def _cached_gguf(hub: Hub, reference: HubReference, quantization: str) -> Path | None:
    folder = RepositoryCache.of(hub, reference).snapshot(reference)
    if folder is None:
        return None
    names = [path.name for path in folder.iterdir() if path.is_file()]
    if reference.file is not None:
        place = folder / reference.file
        beside = [path.name for path in place.parent.iterdir()] if place.parent.is_dir() else []
        file = named_gguf(beside, place.name)
        name = place.with_name(file).relative_to(folder).as_posix() if file else None
    else:
        # Online the repository may hold a better one than the only one that is here.
        name = choose_gguf(names, quantization, any_single=hub.offline)
    whole = name and all((folder / part).is_file() for part in part_names(name))
    return folder / name if name and whole else None

"""Finds the unquantised weights of a base, which an adapter is measured and merged with."""

from __future__ import annotations

import os
from pathlib import Path

from ..cache.store import Cache
from ..converters.base.config import read_model_config
from ..hub import Hub
from ..hub.models import fetch_weights, is_complete
from ..hub.search import cached_weights
from ..package.opening import Package
from ..progress import Progress
from ..user_paths import user_path
from .conversion import converted_bases
from .names import read_known_bases
from .places import given_reference, model_folders, named_in

__all__ = ["find_float_weights"]


def find_float_weights(
    package: Package,
    *,
    given: str | os.PathLike[str] | None = None,
    cache: Cache,
    download: bool = False,
    progress: Progress | None = None,
    hub: Hub | None = None,
) -> Path | None:
    """The base of ``package`` as a Hugging Face folder with all its safetensors, or None.

    The same places are searched as for `find_base`. If the base was converted before, the
    folder that it was converted from is found, too. The Hub is asked only with
    ``download=True``. Raises LoadError for a download that fails.
    """
    hub = hub or Hub.from_environment()
    known = read_known_bases(cache.root)
    base = package.manifest.base
    places: list[Path | None] = []
    if given is not None:
        reference = given_reference(given)
        source = known.of_reference(reference) if reference else None
        places.append(user_path(given))
    else:
        source = known.of_manifest(base.name)
        places.append(package.base_folder)
        places += [
            named_in(folder, base.short_name, folders=True) for folder in model_folders(cache)
        ]
        for entry in converted_bases(cache, name=base.short_name, repository=None):
            places.append(Path(str(entry.info.get("origin"))))
    for place in filter(None, places):
        if is_complete(place):
            return place
    if source is None or source.weights is None:
        return None
    found = cached_weights(hub, source.weights)
    if found is not None or not download or hub.offline:
        return found
    return fetch_weights(hub, hub.list_files(source.weights), progress, read_model_config)

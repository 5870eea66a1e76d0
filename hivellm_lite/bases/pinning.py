"""The commit of a base model's repository, for lock files."""

from __future__ import annotations

from ..cache.store import Cache
from ..errors import LoadError
from ..hub import Hub, HubReference
from ..hub.cache import RepositoryCache, commit_of
from .names import read_known_bases

__all__ = ["pinned_base"]


def pinned_base(name: str, *, cache: Cache, hub: Hub) -> str | None:
    """``owner/repository@commit`` of the base that a manifest calls ``name``.

    What was downloaded before decides, otherwise the Hub is asked. None if no repository is known
    by this name, or if neither this machine nor the Hub knows a commit.
    """
    source = read_known_bases(cache.root).of_manifest(name)
    if source is None:
        return None
    for reference in source.references:
        folder = RepositoryCache.of(hub, reference).snapshot(reference)
        if folder is not None and (commit := commit_of(folder / "any")) is not None:
            return _pinned(reference, commit)
    for reference in source.references:
        try:
            return _pinned(reference, hub.list_files(reference).commit)
        except LoadError:  # noqa: PERF203 - offline, or not there: the next one
            continue
    return None


def _pinned(reference: HubReference, commit: str) -> str:
    return str(reference.at(commit))

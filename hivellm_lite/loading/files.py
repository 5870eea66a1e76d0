"""From a package's name to the files of an expert: its package, its base, its adapter.

Nothing is loaded. Each part is found, downloaded or converted where that is needed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..adapters.prepare import PreparedAdapter, prepare_adapter
from ..adapters.soft_prompts import PreparedSoftPrompt, prepare_soft_prompt
from ..bases.base_file import BaseFile
from ..bases.float_weights import find_float_weights
from ..bases.search import find_base
from ..cache.store import Cache
from ..errors import PackageError
from ..hub import Hub, locate_package
from ..installation.asked import asked_name
from ..package.files import MANIFEST
from ..package.opening import Package, open_package
from ..progress import Progress
from ..user_paths import is_file, path_exists, shown_path, user_path
from .options import LoadSettings

__all__ = ["ExpertFiles", "find_package", "prepare_files"]


@dataclass(frozen=True)
class ExpertFiles:
    """An expert, ready to load.

    ``soft_prompt`` stands before every prompt. ``find_weights`` looks for the base's Hugging Face
    folder. ``package_s``, ``base_s`` and ``adapter_s`` are the seconds that each part took.
    """

    package: Package
    base: BaseFile
    adapter: PreparedAdapter
    soft_prompt: PreparedSoftPrompt
    find_weights: Callable[[], Path | None]
    package_s: float
    base_s: float
    adapter_s: float


def find_package(
    path: str | os.PathLike[str],
    *,
    cache: Cache,
    hub: Hub,
    verify: bool = True,
    signatures: str | None = None,
    progress: Progress | None = None,
) -> Package:
    """Open the package at ``path``, the installed expert, or the package on the Hub of that name.

    A package that is at ``path`` comes first, then an installed expert (``sql``,
    ``expert-sql@>=0.2``), then the Hub. Raises RegistryError, and what `locate_package` and
    `open_package` raise.
    """
    if isinstance(path, str) and not path.strip():  # which pathlib takes for the current folder
        raise PackageError("the name of the package is empty\nGive an .expert file or its folder.")
    located = _installed(path) or locate_package(path, hub=hub, progress=progress)
    return open_package(located, cache=cache, verify=verify, signatures=signatures)


def _installed(path: str | os.PathLike[str]) -> Path | None:
    """The folder of the installed expert that is meant; None where ``path`` is a package here."""
    if asked_name(path) is None:
        return None
    here = user_path(path)
    if is_file(here) or is_file(here / MANIFEST):
        return None
    from ..installation.names import installed_folder  # reads the registry

    folder = installed_folder(path)
    if folder is None and not path_exists(here):
        raise PackageError(
            f"{shown_path(path)}: no such file or folder here, and no installed expert\n"
            "'hivellm-lite list' shows what is installed, 'hivellm-lite search' what could be."
        )
    return folder


def _locked_base(package: Package) -> str | None:
    """The base that a lock file asked for, if the package is an installed expert."""
    if package.root != package.source:
        return None
    from ..installation.names import locked_base  # reads the registry

    return locked_base(package.source)


def prepare_files(
    path: str | os.PathLike[str], settings: LoadSettings, cache: Cache
) -> ExpertFiles:
    """Open the package, find its base, and convert its adapter for this base.

    See `Expert.load` for the errors.
    """
    hub = Hub.from_environment(offline=settings.offline)
    started = time.perf_counter()
    package = find_package(
        path,
        cache=cache,
        hub=hub,
        verify=settings.verify,
        signatures=settings.signatures,
        progress=settings.progress,
    )
    opened = time.perf_counter()
    base = find_base(
        package,
        given=settings.base,
        locked=_locked_base(package),
        cache=cache,
        quantization=settings.quantization,
        pre_tokenizer=settings.pre_tokenizer,
        progress=settings.progress,
        hub=hub,
    )
    found = time.perf_counter()

    def find_weights() -> Path | None:
        if settings.float_weights is not None:
            return user_path(settings.float_weights)
        return find_float_weights(package, given=settings.base, cache=cache, hub=hub)

    adapter = prepare_adapter(
        package,
        base.path,
        cache,
        settings.adapter,
        float_weights=find_weights,
        progress=settings.progress,
    )
    soft_prompt = prepare_soft_prompt(
        package, base.path, cache, settings.soft_prompt, own=adapter.soft_prompt
    )
    return ExpertFiles(
        package,
        base,
        adapter,
        soft_prompt,
        find_weights,
        package_s=opened - started,
        base_s=found - opened,
        adapter_s=time.perf_counter() - found,
    )

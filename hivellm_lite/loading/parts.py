"""From an expert's files to an expert in memory."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from ..cache.store import Cache
from ..hub import Hub
from ..inference.opening import open_session
from ..manifest.records import Manifest
from ..memory_estimate import check_fits, estimate_memory
from ..process.memory_limits import LOADING_BYTES, memory_is_full, process_limits, require_memory
from .files import find_package, prepare_files
from .loaded_parts import LoadedParts, LoadTimes
from .options import LoadOptions, LoadSettings

if TYPE_CHECKING:
    from .loaded_expert import LoadedExpert

__all__ = ["load_expert", "read_manifest"]

NUMPY_BYTES = 128 << 20
"""Address space that importing numpy takes, most of it never used."""


def load_expert(
    path: str | os.PathLike[str], options: LoadOptions, *, caller: str = "Expert.load"
) -> LoadedExpert:
    """Open the package, find the base, convert what is not yet converted, load.

    See `Expert.load` for the errors; ``caller`` is named in the error of an unknown option. If a
    damaged file in the cache makes loading fail, loading is tried once more without that file.
    """
    settings = LoadSettings.of(options, caller=caller)
    cache = Cache(settings.cache_dir)

    def load() -> LoadedParts:
        n_bytes = LOADING_BYTES + (0 if "numpy" in sys.modules else NUMPY_BYTES)
        require_memory("loading an expert", 0, reserved=n_bytes, process_only=True)
        try:
            if any(process_limits()):  # what is counted from here on is left beside all modules
                _import_what_answers()
            return _load(path, settings, cache)
        except MemoryError:
            raise memory_is_full("loading an expert") from None

    parts = cache.heal(load)
    from .loaded_expert import LoadedExpert  # imported while the model was read

    return LoadedExpert(parts)


def read_manifest(path: str | os.PathLike[str], options: LoadOptions, *, caller: str) -> Manifest:
    """The manifest of a package, which is downloaded and opened, but not loaded.

    Raises what `find_package` raises, and TypeError for an unknown option of ``caller``.
    """
    settings = LoadSettings.of(options, caller=caller)
    package = find_package(
        path,
        cache=Cache(settings.cache_dir),
        hub=Hub.from_environment(offline=settings.offline),
        verify=settings.verify,
        signatures=settings.signatures,
        progress=settings.progress,
    )
    return package.manifest


def _import_what_answers(manifest: Manifest | None = None) -> None:
    """Import what reading a model does not need, and what answers do: numpy, grammars, templates.

    It takes as long as llama.cpp takes to read a small model.
    """
    from ..engine import Adapter, Context, Sampler  # noqa: F401
    from ..inference import session, streams  # noqa: F401
    from ..prompts.formats import import_for_prompts
    from . import loaded_expert  # noqa: F401

    if manifest is not None:
        import_for_prompts(manifest)


def _load(path: str | os.PathLike[str], settings: LoadSettings, cache: Cache) -> LoadedParts:
    from ..engine import Adapter, return_free_memory  # loads llama.cpp
    from ..engine.device import is_cpu

    files = prepare_files(path, settings, cache)
    started = time.perf_counter()
    package, base, prepared = files.package, files.base, files.adapter

    def check_memory() -> None:
        if is_cpu(settings.device):  # the estimate is of the machine's own memory
            own = (0 if prepared.is_variant else prepared.size) + n_prompt_bytes
            estimate = estimate_memory(prepared.files, settings.session, adapter_bytes=own)
            check_fits(estimate, package.manifest.identity)

    soft_prompt = files.soft_prompt
    rows = None
    if soft_prompt.path is not None:
        from ..converters.soft_prompts import load_soft_prompt  # loads numpy

        rows = load_soft_prompt(soft_prompt.path)
    n_prompt_bytes = 0 if rows is None else rows.embeddings.nbytes
    session = open_session(
        prepared.files,
        settings.device,
        settings.session,
        n_tensors=prepared.n_tensors,
        digest=cache.fingerprint,
        before_loading=check_memory,
        while_reading=partial(_import_what_answers, package.manifest),
    )
    try:
        name = package.manifest.identity
        adapter = Adapter(session.model, prepared.lora, name=name) if prepared.lora else None
    except BaseException:
        session.release()
        raise
    return_free_memory()
    times = LoadTimes(
        package=files.package_s,
        base=files.base_s,
        adapter=files.adapter_s,
        model=time.perf_counter() - started,
        base_converted=base.converted,
        adapter_converted=prepared.converted,
    )
    return LoadedParts(
        package,
        base,
        prepared,
        session,
        adapter,
        rows,
        times,
        cache,
        files.find_weights,
        soft_prompt.notes,
    )

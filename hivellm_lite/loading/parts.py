"""From a package's name to an expert in memory."""

from __future__ import annotations

import os
import time
from pathlib import Path

from ..adapters.prepare import prepare_adapter
from ..bases.search import find_base, find_float_weights
from ..cache.store import Cache
from ..hub import Hub, locate_package
from ..inference.session import open_session
from ..memory_estimate import check_fits, estimate_memory
from ..package.opening import open_package
from ..process.memory_limits import LOADING_BYTES, memory_is_full, require_memory
from ..user_paths import user_path
from .loaded_expert import LoadedExpert, LoadedParts, LoadTimes
from .options import LoadOptions, LoadSettings

__all__ = ["load_expert"]


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
        require_memory("loading an expert", 0, reserved=LOADING_BYTES, process_only=True)
        try:
            return _load(path, settings, cache)
        except MemoryError:
            raise memory_is_full("loading an expert") from None

    return LoadedExpert(cache.heal(load))


def _load(path: str | os.PathLike[str], settings: LoadSettings, cache: Cache) -> LoadedParts:
    from ..engine import Adapter, return_free_memory  # loads llama.cpp

    clock = [time.perf_counter()]

    def lap() -> float:
        clock.append(time.perf_counter())
        return clock[-1] - clock[-2]

    # 1. the package
    hub = Hub.from_environment(offline=settings.offline)
    path = locate_package(path, hub=hub, progress=settings.progress)
    package = open_package(path, cache=cache, verify=settings.verify)
    package_s = lap()

    # 2. its base
    base = find_base(
        package,
        given=settings.base,
        cache=cache,
        quantization=settings.quantization,
        progress=settings.progress,
        hub=hub,
    )
    base_s = lap()

    # 3. its adapter, for this base
    def find_weights() -> Path | None:
        if settings.float_weights is not None:
            return user_path(settings.float_weights)
        return find_float_weights(package, given=settings.base, cache=cache, hub=hub)

    prepared = prepare_adapter(
        package,
        base.path,
        cache,
        settings.adapter,
        float_weights=find_weights,
        progress=settings.progress,
    )
    adapter_s = lap()

    # 4. the model, or the one that is in memory already
    def check_memory() -> None:
        if settings.device in ("auto", "cpu"):
            own = prepared.size if prepared.lora else 0
            estimate = estimate_memory(prepared.files, settings.session, adapter_bytes=own)
            check_fits(estimate, package.manifest.identity)

    session = open_session(
        prepared.files,
        settings.device,
        settings.session,
        n_tensors=prepared.n_tensors,
        digest=cache.fingerprint,
        before_loading=check_memory,
    )
    try:
        adapter = Adapter(session.model, prepared.lora) if prepared.lora else None
    except BaseException:
        session.release()
        raise
    return_free_memory()
    times = LoadTimes(package_s, base_s, adapter_s, lap(), base.converted, prepared.converted)
    return LoadedParts(package, base, prepared, session, adapter, times, cache, find_weights)

"""From a package's name to all that an expert consists of."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .adapters.prepare import AdapterOptions, PreparedAdapter, prepare_adapter
from .bases.search import BaseFile, Progress, find_base, find_float_weights
from .cache.store import Cache
from .hub import Hub, locate_package
from .inference.session import Session, SessionOptions, open_session
from .memory_estimate import check_fits, estimate_memory
from .package.opening import Package, open_package
from .process.memory_limits import LOADING_BYTES, memory_is_full, require_memory
from .user_paths import user_path

if TYPE_CHECKING:
    from .engine import Adapter

__all__ = ["LoadTimes", "LoadedParts", "load_parts"]


@dataclass(frozen=True)
class LoadTimes:
    """Seconds that each part of loading took, and what had to be converted for it."""

    package: float
    base: float
    adapter: float
    model: float
    base_converted: bool
    adapter_converted: bool

    @property
    def total(self) -> float:
        return self.package + self.base + self.adapter + self.model


@dataclass(frozen=True)
class LoadedParts:
    """A loaded expert. ``adapter`` is None for a variant; ``find_weights`` looks for the base's
    Hugging Face folder. Whoever has it gives ``session`` back.
    """

    package: Package
    base: BaseFile
    prepared: PreparedAdapter
    session: Session
    adapter: Adapter | None
    times: LoadTimes
    cache: Cache
    find_weights: Callable[[], Path | None]


def load_parts(
    path: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None,
    device: str,
    cache: Cache,
    options: SessionOptions,
    adapter_options: AdapterOptions,
    quantization: str,
    float_weights: str | os.PathLike[str] | None,
    verify: bool,
    offline: bool,
    progress: Progress | None,
) -> LoadedParts:
    """Open the package, find the base, convert what is not yet converted, load.

    See `Expert.load` for the arguments and errors. What fails because of a damaged file in
    the cache is done again, once, without that file.
    """

    def load() -> LoadedParts:
        require_memory("loading an expert", 0, reserved=LOADING_BYTES, process_only=True)
        try:
            return _load(
                path,
                base,
                device,
                cache,
                options,
                adapter_options,
                quantization,
                float_weights,
                verify,
                offline,
                progress,
            )
        except MemoryError:
            raise memory_is_full("loading an expert") from None

    return cache.heal(load)


def _load(
    path: str | os.PathLike[str],
    base: str | os.PathLike[str] | None,
    device: str,
    cache: Cache,
    options: SessionOptions,
    adapter_options: AdapterOptions,
    quantization: str,
    float_weights: str | os.PathLike[str] | None,
    verify: bool,
    offline: bool,
    progress: Progress | None,
) -> LoadedParts:
    from .engine import Adapter, return_free_memory

    clock = [time.perf_counter()]

    def lap() -> float:
        clock.append(time.perf_counter())
        return clock[-1] - clock[-2]

    hub = Hub.from_environment(offline=offline)
    path = locate_package(path, hub=hub, progress=progress)
    package = open_package(path, cache=cache, verify=verify)
    package_s = lap()
    base_file = find_base(
        package, given=base, cache=cache, quantization=quantization, progress=progress, hub=hub
    )
    base_s = lap()

    def find_weights() -> Path | None:
        if float_weights is not None:
            return user_path(float_weights)
        return find_float_weights(package, given=base, cache=cache, hub=hub)

    prepared = prepare_adapter(
        package,
        base_file.path,
        cache,
        adapter_options,
        float_weights=find_weights,
        progress=progress,
    )
    adapter_s = lap()

    def check_memory() -> None:
        if device in ("auto", "cpu"):
            own = prepared.size if prepared.lora else 0
            estimate = estimate_memory(prepared.files, options, adapter_bytes=own)
            check_fits(estimate, package.manifest.identity)

    session = open_session(
        prepared.files,
        device,
        options,
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
    times = LoadTimes(package_s, base_s, adapter_s, lap(), base_file.converted, prepared.converted)
    return LoadedParts(package, base_file, prepared, session, adapter, times, cache, find_weights)

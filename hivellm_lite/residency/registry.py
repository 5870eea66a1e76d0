"""The experts of a manager: loading, limits, eviction and coming back.

An expert that is *registered* has a name, a package and options; its first use loads it. One that
is over the limits, or idle for too long, is *evicted*: its adapter is freed, and its next use
brings it back. An expert that is in use is never evicted.

Who is resident is decided under `bookkeeping`; loading and freeing, which take time, happen
outside of it, so no expert's answer waits for another expert.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, cast

from ..errors import InferenceError, LoadError, OutOfMemoryError
from ..inference.off_loop import LOADING
from ..loading.loaded_expert import LoadedExpert
from ..loading.options import LoadOptions
from ..loading.parts import load_expert, read_manifest
from ..manifest.compatibility import check_loadable, dependants, unreadable
from ..memory_estimate import parse_bytes
from ..process.state import bookkeeping, forget_on_fork
from .base_alone import BaseAlone
from .entries import Entry, RegistryCounters, TakenOut
from .stats import BaseStats, ManagerStats

if TYPE_CHECKING:
    from ..inference.session import Session

__all__ = ["ExpertHold", "ExpertRegistry"]

logger = logging.getLogger("hivellm_lite")


_BaseKey: TypeAlias = "tuple[Session, str, str | None, str]"
"""A session, and what a manifest says about its base: name, prompt template, schema version."""


class ExpertHold:
    """Entries that are in use: they are not evicted until this is given back, once."""

    def __init__(self, registry: ExpertRegistry, entries: Sequence[Entry]) -> None:
        self._registry = registry
        self._left = [tuple(entries)]

    def drop(self) -> None:
        """Give them back. Never waits, so a finalizer may call it."""
        with contextlib.suppress(IndexError):  # given back before
            self._registry.given_back.append(self._left.pop())

    def release(self) -> None:
        """Give them back and evict what is over the limits; may wait for a step."""
        self.drop()
        self._registry.evict_surplus()


class ExpertRegistry:
    """See the module's docstring. Thread-safe."""

    def __init__(
        self,
        *,
        max_experts: int | None,
        max_memory: int | str | None,
        keep_base: bool,
        options: LoadOptions,
    ) -> None:
        if max_experts is not None and max_experts < 1:
            raise ValueError(f"max_loaded_experts={max_experts}: must be 1 or more")
        self._max_experts = max_experts
        self._max_memory = None if max_memory is None else parse_bytes(max_memory)
        self._keep_base = keep_base
        self._options = options
        self._entries: dict[str, Entry] = {}
        self._loading: set[str] = set()
        self._kept: dict[int, Session] = {}
        self._bases: dict[_BaseKey, BaseAlone] = {}
        """Of sessions that an entry or `_kept` has; dropped with them."""
        self.given_back: deque[tuple[Entry, ...]] = deque()
        """Entries that are out of use, not yet counted: finalizers take no lock."""
        self._clock = itertools.count(1)
        self._closed = False
        self.version = 0
        """Changes with every name that comes or goes."""
        self.counters = RegistryCounters()
        forget_on_fork(self)

    @property
    def closed(self) -> bool:
        return self._closed

    def entries(self) -> list[Entry]:
        """All of them, the last used first."""
        with bookkeeping:
            self._count_given_back()
            return sorted(self._entries.values(), key=lambda entry: -entry.tick)

    def entry(self, name: str) -> Entry:
        """Raises InferenceError, with the names there are, for one that is not loaded."""
        with bookkeeping:
            self.check_open()
            try:
                return self._entries[name]
            except KeyError:
                loaded = ", ".join(self._entries) or "none"
                raise InferenceError(
                    f"no expert named {name!r} is loaded\nLoaded: {loaded}. "
                    "Load it with load_expert(name, path)."
                ) from None

    def load(self, name: str, path: str | os.PathLike[str], options: LoadOptions) -> Entry:
        """See `ExpertManager.load_expert`."""
        self._reserve(name)
        expert = None
        try:
            started = time.perf_counter()
            expert = load_expert(
                path, {**self._options, **options}, caller="ExpertManager.load_expert"
            )
            with bookkeeping:
                entry = Entry(
                    name=name,
                    path=path,
                    options=options,
                    manifest=expert.manifest,
                    base=expert.base.path.name,
                    mode=expert.prepared.form,
                    tick=next(self._clock),
                    expert=expert,
                )
                self._add(entry)
                surplus = self._surplus(entry)
                too_large = self._too_large(entry)
                if too_large is None:
                    self._keep(expert.session)
                    self.counters.loads += 1
                    self.counters.load_seconds += time.perf_counter() - started
                else:
                    del self._entries[name]
                    self.version += 1
            _close_all(surplus)
            if too_large is not None:
                raise too_large
            return entry
        except BaseException:
            if expert is not None:
                expert.close()
            raise
        finally:
            with bookkeeping:
                self._loading.discard(name)

    def register(self, name: str, path: str | os.PathLike[str], options: LoadOptions) -> Entry:
        """See `ExpertManager.register_expert`."""
        self._reserve(name)
        try:
            merged: LoadOptions = {**self._options, **options}
            manifest = read_manifest(path, merged, caller="ExpertManager.register_expert")
            entry = Entry(
                name=name,
                path=path,
                options=options,
                manifest=manifest,
                base=manifest.base.name,
                mode="",
                tick=next(self._clock),
                expert=None,
            )
            with bookkeeping:
                self._add(entry)
            return entry
        finally:
            with bookkeeping:
                self._loading.discard(name)

    def unload(self, name: str, *, force: bool) -> None:
        """See `ExpertManager.unload_expert`."""
        with bookkeeping:
            entry = self.entry(name)
            remaining = [other.manifest for other in self._entries.values() if other is not entry]
            needing = dependants(entry.manifest, remaining)
            if needing and not force:
                names = ", ".join(manifest.identity for manifest in needing)
                raise LoadError(
                    f"{name!r} is required by {names}\nUnload those first, or use force=True."
                )
            del self._entries[name]
            self.version += 1
            taken = self._take_out(entry)
        taken.close()

    def hold(self, entries: Sequence[Entry]) -> ExpertHold:
        """Keep these from being evicted; `bring_back` then gives each expert."""
        with bookkeeping:
            for entry in entries:
                entry.in_use += 1
                entry.uses += 1
                entry.tick, entry.last_used = next(self._clock), time.time()
        return ExpertHold(self, entries)

    def bring_back(self, entry: Entry) -> LoadedExpert:
        """The expert of an entry that is held, loaded again if it was evicted."""
        with entry.lock:
            if entry.expert is not None:
                self.counters.hits += 1
                return entry.expert
            started = time.perf_counter()
            with bookkeeping:
                self._check_registered(entry)
                surplus = self._surplus(entry)
                too_large = self._too_large(entry)
            _close_all(surplus)
            if too_large is not None:
                raise too_large
            options: LoadOptions = {**self._options, **entry.options}
            options.pop("progress", None)  # whoever watched the first loading may be gone
            expert = load_expert(entry.path, options)
            try:
                if expert.manifest.identity != entry.manifest.identity:
                    raise LoadError(
                        f"{entry.path}: {expert.manifest.identity} is there now, where "
                        f"{entry.manifest.identity} was loaded from; unload and load it again"
                    )
                seconds = time.perf_counter() - started
                with bookkeeping:
                    self._check_registered(entry)
                    is_first = not entry.mode
                    entry.expert = expert
                    entry.base, entry.mode = expert.base.path.name, expert.prepared.form
                    self._keep(expert.session)
                    self.counters.loads += is_first
                    self.counters.reloads += not is_first
                    self.counters.load_seconds += seconds
            except BaseException:
                expert.close()
                raise
            logger.info("loaded %s in %.0f ms", entry.name, seconds * 1000)
            return expert

    def loading(self, entry: Entry) -> Future[LoadedExpert] | None:
        """The loading of an entry that is held, begun here if nobody has; None if it is resident.

        All who wait for it share one thread.
        """
        with bookkeeping:
            if entry.expert is not None:
                return None
            found = entry.loading
            if found is None:
                found = entry.loading = LOADING.submit(partial(self.bring_back, entry))
                found.add_done_callback(lambda _: setattr(entry, "loading", None))
            return found

    def evict_surplus(self) -> None:
        """Evict what is over the limits and not in use."""
        with bookkeeping:
            surplus = self._surplus(None)
        _close_all(surplus)

    def evict_idle(self, seconds: float) -> list[str]:
        """See `ExpertManager.evict_idle`."""
        with bookkeeping:
            self._count_given_back()
            before = time.time() - seconds
            idle = [
                entry
                for entry in self._entries.values()
                if entry.expert is not None and not entry.in_use and entry.last_used <= before
            ]
            taken = [self._evict(entry) for entry in idle]
        _close_all(taken)
        return [entry.name for entry in idle]

    def base_alone(self, entry: Entry, expert: LoadedExpert) -> BaseAlone:
        """The base of an expert that is in use, without its adapter.

        Experts that share a session share this too. It is kept as long as an entry, or
        ``keep_base``, has the session: compiled grammars and prompt formats are in it.
        """
        session = self._base_session(entry, expert)
        base = entry.manifest.base
        key = session, base.name, base.prompt_template, entry.manifest.schema_version
        with bookkeeping:
            found = self._bases.get(key)
        if found is None:
            made = BaseAlone(entry.manifest, session)
            with bookkeeping:
                if id(session) not in self._sessions():  # unloaded meanwhile
                    return made
                found = self._bases.setdefault(key, made)
        return found

    def _base_session(self, entry: Entry, expert: LoadedExpert) -> Session:
        """A session of the expert's base alone, until the entry is closed."""
        with entry.lock:
            if not expert.prepared.is_variant:
                return expert.session
            if entry.base_session is None:
                session = expert.open_base()
                try:
                    with bookkeeping:
                        self._check_registered(entry)
                        entry.base_session = session
                except BaseException:
                    session.release()
                    raise
            return entry.base_session

    def stats(self, *, routed: int) -> ManagerStats:
        """See `ExpertManager.stats`."""
        with bookkeeping:
            bases = [session.stats() for session in self._sessions().values()]
            return {
                "experts": {
                    "registered": len(self._entries),
                    "limit": self._max_experts or len(self._entries),
                    "resident": sum(e.expert is not None for e in self._entries.values()),
                    "loads": self.counters.loads,
                    "reloads": self.counters.reloads,
                    "evictions": self.counters.evictions,
                    "hits": self.counters.hits,
                    "load_seconds": self.counters.load_seconds,
                    "routed": routed,
                },
                "memory": self._memory(),
                "bases": cast("list[BaseStats]", bases),
            }

    def close(self) -> None:
        with bookkeeping:
            self._closed = True
            taken = [entry.take_out() for entry in self._entries.values()]
            self._entries.clear()
            kept = list(self._kept.values())
            self._kept.clear()
            self._bases.clear()
        _close_all(taken)
        for session in kept:
            session.release()

    def check_open(self) -> None:
        """Raises InferenceError after `close`."""
        if self._closed:
            raise InferenceError("the manager was closed")

    def forget_other_threads(self) -> None:
        """In a forked child nobody else uses, loads or brings back an expert."""
        self._loading.clear()
        self.given_back.clear()
        for entry in self._entries.values():
            entry.in_use = 0
            entry.loading = None
            entry.lock = threading.Lock()

    def _reserve(self, name: str) -> None:
        """Keep ``name`` for an expert that is being loaded. Raises ValueError if it is taken."""
        with bookkeeping:
            self.check_open()
            if name in self._entries or name in self._loading:
                raise ValueError(
                    f"an expert named {name!r} is loaded already; unload it first, or choose "
                    "another name"
                )
            self._loading.add(name)

    # --- under `bookkeeping` ---------------------------------------------------------

    def _add(self, entry: Entry) -> None:
        """Give ``entry`` its name. Raises LoadError where it may not stand beside the others."""
        self.check_open()
        check_loadable(entry.manifest, [one.manifest for one in self._entries.values()])
        for note in unreadable(entry.manifest):
            logger.warning("%s: %s", entry.manifest.identity, note)
        self._entries[entry.name] = entry
        self.version += 1

    def _check_registered(self, entry: Entry) -> None:
        if self._entries.get(entry.name) is not entry:
            raise InferenceError(f"the expert {entry.name!r} was unloaded meanwhile")

    def _count_given_back(self) -> None:
        while self.given_back:
            for entry in self.given_back.popleft():
                entry.in_use = max(0, entry.in_use - 1)  # a fork forgets uses
                entry.last_used = time.time()

    def _surplus(self, wanted: Entry | None) -> list[TakenOut]:
        """Take out what was used longest ago until the rest is within the limits, ``wanted``
        included, which is loaded or about to be.
        """
        self._count_given_back()
        idle = [
            entry
            for entry in self._entries.values()
            if entry is not wanted and entry.expert is not None and not entry.in_use
        ]
        idle.sort(key=lambda entry: entry.tick)
        surplus = []
        while idle and self._over_limits(wanted):
            surplus.append(self._evict(idle.pop(0)))
        self._limit_own_contexts()
        return surplus

    def _limit_own_contexts(self) -> None:
        """Leave to the contexts of single experts what ``max_memory`` leaves, in equal parts."""
        if self._max_memory is None:
            return
        sessions = self._sessions().values()
        left = max(0, self._max_memory - self._memory(own_contexts=False))
        for session in sessions:
            session.scheduler.limit_own_contexts(left // len(sessions))

    def _evict(self, entry: Entry) -> TakenOut:
        self.counters.evictions += 1
        entry.evictions += 1
        logger.info("evicted %s", entry.name)
        return self._take_out(entry)

    def _take_out(self, entry: Entry) -> TakenOut:
        """What ``entry`` has loaded, and no more of what is kept for sessions that go with it."""
        taken = entry.take_out()
        left = self._sessions()
        for key in [key for key in self._bases if id(key[0]) not in left]:
            del self._bases[key]
        return taken

    def _too_large(self, wanted: Entry) -> OutOfMemoryError | None:
        """The error if ``wanted`` is more than is allowed by itself."""
        alone = not any(e.expert for e in self._entries.values() if e is not wanted)
        if (
            self._max_memory is None
            or not alone
            or (memory := self._memory(own_contexts=False)) <= self._max_memory
        ):
            return None
        return OutOfMemoryError(
            f"{wanted.name!r} and its base take {memory / 1e6:.0f} MB; max_memory allows "
            f"{self._max_memory / 1e6:.0f} MB\nUse a smaller n_ctx, another quantization, or "
            "a larger max_memory."
        )

    def _over_limits(self, wanted: Entry | None) -> bool:
        resident = sum(entry.expert is not None for entry in self._entries.values())
        resident += wanted is not None and wanted.expert is None
        return bool(
            (self._max_experts is not None and resident > self._max_experts)
            or (
                self._max_memory is not None and self._memory(own_contexts=False) > self._max_memory
            )
        )

    def _memory(self, *, own_contexts: bool = True) -> int:
        """Bytes of all models, contexts, parked prefixes and adapters, each counted once.

        Without ``own_contexts``: without the contexts of single experts, which are given up where
        others need their memory.
        """
        sessions = self._sessions().values()
        models = {id(session.model): session.model.size for session in sessions}
        experts = [e.expert for e in self._entries.values() if e.expert is not None]
        adapters = sum(expert.memory for expert in experts if not expert.prepared.is_variant)
        used = (s.memory if own_contexts else s.shared_memory for s in sessions)
        return sum(models.values()) + sum(used) + adapters

    def _sessions(self) -> dict[int, Session]:
        found = [e.expert.session for e in self._entries.values() if e.expert is not None]
        found += [e.base_session for e in self._entries.values() if e.base_session is not None]
        return {id(session): session for session in found} | self._kept

    def _keep(self, session: Session) -> None:
        if self._keep_base and id(session) not in self._kept:
            session.retain()
            self._kept[id(session)] = session


def _close_all(taken: Iterable[TakenOut]) -> None:
    """Free all of it, whatever fails; not under `bookkeeping`."""
    with contextlib.ExitStack() as stack:
        for one in taken:
            stack.callback(one.close)

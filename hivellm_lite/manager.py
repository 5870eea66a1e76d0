"""Many experts on few bases: loaded by name, swapped between two questions.

An expert that is over the limits is *evicted*: its adapter is freed, its package and
options are remembered, and its next use brings it back. An expert that is in use is
never evicted.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .async_generation import AsyncTextStream, arun_batch
from .constraints import check_loadable, check_together, dependants, unreadable
from .decoding import Request
from .errors import GrammarError, InferenceError, LoadError, OutOfMemoryError
from .expert import Expert, checked
from .generation import TextStream, run_batch
from .grammar_choice import GrammarChooser
from .memory import parse_bytes
from .request_builder import RequestBuilder
from .results import InferenceResult
from .routing import Route, Router

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .engine.context import Applied
    from .gbnf import Grammar
    from .manifest import Manifest
    from .request_builder import GenerationOptions
    from .session import Session

__all__ = ["ExpertManager", "ExpertStatus"]

logger = logging.getLogger("hivellm_lite")

AUTO = "auto"
FALLBACKS = ("base", "error")


@dataclass(frozen=True)
class ExpertStatus:
    """What `list_loaded_experts` says of one expert.

    ``state``: ``"resident"``, or ``"evicted"`` until its next use. ``mode``: ``lora``,
    ``low-rank`` or ``variant``. ``memory``: bytes that it takes beside its base (an
    adapter, or a variant's own weights), 0 while evicted. ``last_used``: seconds since
    the epoch.
    """

    name: str
    expert: str
    version: str
    base: str
    mode: str
    memory: int
    state: str
    loaded_at: float
    last_used: float
    uses: int


@dataclass
class ManagerCounters:
    """Loads are first ones, reloads those after an eviction."""

    loads: int = 0
    reloads: int = 0
    evictions: int = 0
    hits: int = 0
    routed: int = 0
    load_seconds: float = 0.0


@dataclass(eq=False)
class _Entry:
    """One name: how to load it, and the expert while it is resident."""

    name: str
    path: str | os.PathLike[str]
    options: Mapping[str, Any]
    manifest: Manifest
    expert: Expert | None
    base: str
    mode: str
    loaded_at: float
    last_used: float
    tick: int
    uses: int = 0
    in_use: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class ExpertManager:
    """Loads experts by name and asks them.

    ::

        with ExpertManager(max_loaded_experts=3) as manager:
            manager.load_expert("sql", "sql.expert")
            manager.load_expert("cypher", "cypher.expert")  # same base: loaded once
            manager.generate("sql", "How many users are there?", schema="…")
            manager.generate("auto", "Find the friends of Ann", schema="…")
            manager.generate({"sql": 0.7, "style": 0.3}, "…")

    Experts whose base has the same content share it in memory. All methods may be
    called from several threads; requests for the same expert are computed together.
    """

    def __init__(
        self,
        *,
        max_loaded_experts: int | None = None,
        max_memory: int | str | None = None,
        keep_base: bool = False,
        fallback: str = "base",
        **options: Any,
    ) -> None:
        """``max_loaded_experts``: experts in memory at once; others wait on disk.
        ``max_memory``: bytes, or a text such as ``"4GB"``, for models, contexts and adapters
        together. ``keep_base``: keep a base model that no expert uses any more.
        ``fallback``: what ``"auto"`` does where no expert fits the prompt: ask the
        ``"base"`` model, or raise (``"error"``). ``options``: those of `Expert.load`, for
        every expert.
        """
        if max_loaded_experts is not None and max_loaded_experts < 1:
            raise ValueError(f"max_loaded_experts={max_loaded_experts}: must be 1 or more")
        if fallback not in FALLBACKS:
            raise ValueError(f"fallback={fallback!r}: must be one of {', '.join(FALLBACKS)}")
        self._max_experts = max_loaded_experts
        self._max_memory = None if max_memory is None else parse_bytes(max_memory)
        self._keep_base = keep_base
        self._fallback = fallback
        self._options = options
        self._entries: dict[str, _Entry] = {}
        self._loading: set[str] = set()
        self._kept: dict[int, Session] = {}
        self._lock = threading.RLock()
        self._clock = itertools.count(1)
        self._router: Router | None = None
        self._closed = False
        self.counters = ManagerCounters()

    # --- loading ---------------------------------------------------------------------

    def load_expert(self, name: str, path: str | os.PathLike[str], **options: Any) -> ExpertStatus:
        """Load a package under a name of your own; options are those of `Expert.load`.

        Raises LoadError or one of its kinds, also where the manifests' constraints forbid
        it beside the experts that are loaded, and ValueError for a name in use.
        """
        if not name or name in (AUTO, "base"):
            raise ValueError(f"{name!r} cannot be an expert's name")
        with self._lock:
            self._check_open()
            if name in self._entries or name in self._loading:
                raise ValueError(
                    f"an expert named {name!r} is loaded already; unload it first, or choose "
                    "another name"
                )
            self._loading.add(name)
        expert = None
        try:
            started = time.perf_counter()
            expert = Expert.load(path, **{**self._options, **options})
            for note in unreadable(expert.manifest):
                logger.warning("%s: %s", expert.manifest.identity, note)
            with self._lock:
                self._check_open()
                check_loadable(expert.manifest, [e.manifest for e in self._entries.values()])
                entry = self._new_entry(name, path, options, expert)
                self._entries[name] = entry
                try:
                    self._make_room(entry)
                except OutOfMemoryError:
                    del self._entries[name]
                    raise
                self._router = None
                self.counters.loads += 1
                self.counters.load_seconds += time.perf_counter() - started
                return _status(entry)
        except BaseException:
            if expert is not None:
                expert.close()
            raise
        finally:
            with self._lock:
                self._loading.discard(name)

    def unload_expert(self, name: str, *, force: bool = False) -> None:
        """Forget an expert; what it generates at the moment ends. Frees its base after the
        last expert on it, unless ``keep_base``.

        Raises InferenceError for an unknown name, and LoadError, without ``force``, if
        another loaded expert requires this one.
        """
        with self._lock:
            entry = self._entry(name)
            remaining = [other for other in self._entries.values() if other is not entry]
            needing = dependants(entry.manifest, [other.manifest for other in remaining])
            if needing and not force:
                names = ", ".join(manifest.identity for manifest in needing)
                raise LoadError(
                    f"{name!r} is required by {names}\nUnload those first, or use force=True."
                )
            del self._entries[name]
            self._router = None
        self._close_expert(entry)

    def list_loaded_experts(self) -> list[ExpertStatus]:
        """Every expert by name, the last used first."""
        with self._lock:
            entries = sorted(self._entries.values(), key=lambda entry: -entry.tick)
            return [_status(entry) for entry in entries]

    # --- asking ----------------------------------------------------------------------

    def generate(
        self,
        name: str | Mapping[str, float],
        prompt: str | None = None,
        **options: Unpack[GenerationOptions],
    ) -> InferenceResult:
        """Ask an expert by name; ``"auto"`` chooses one, a dict of names and weights blends.

        The options are those of `Expert.generate`. A blend applies several LoRA experts of
        one base at once, each at its weight; the first one's manifest gives the prompt's
        form. Raises InferenceError for an unknown name.
        """
        with self._request(name, prompt, options) as (session, request):
            stream = TextStream(session, request, ahead=True)
            for _ in stream:
                pass
            assert stream.result is not None  # noqa: S101 - an exhausted stream has a result
            return stream.result

    def generate_stream(
        self,
        name: str | Mapping[str, float],
        prompt: str | None = None,
        **options: Unpack[GenerationOptions],
    ) -> TextStream:
        """`generate` piece by piece; see `TextStream`."""
        with contextlib.ExitStack() as stack:
            session, request = stack.enter_context(self._request(name, prompt, options))
            return TextStream(session, request, on_end=stack.pop_all().close)

    def generate_batch(
        self,
        name: str | Mapping[str, float],
        prompts: Iterable[str | Mapping[str, Any]],
        *,
        return_exceptions: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> list[InferenceResult | Exception]:
        """Ask one expert, or a blend, several prompts together; see `Expert.generate_batch`."""
        with self._chosen(name) as (lead, applied):
            requests = lead.requests(prompts, applied=applied, **options)
            return checked(run_batch(lead.session, requests), return_exceptions)

    async def agenerate(
        self,
        name: str | Mapping[str, float],
        prompt: str | None = None,
        **options: Unpack[GenerationOptions],
    ) -> InferenceResult:
        """`generate` as a coroutine; cancelling the task stops the decoding."""
        with self._request(name, prompt, options) as (session, request):
            stream = AsyncTextStream(session, request, ahead=True)
            async for _ in stream:
                pass
            assert stream.result is not None  # noqa: S101 - an exhausted stream has a result
            return stream.result

    def agenerate_stream(
        self,
        name: str | Mapping[str, float],
        prompt: str | None = None,
        **options: Unpack[GenerationOptions],
    ) -> AsyncTextStream:
        """`generate_stream` for ``async for``."""
        with contextlib.ExitStack() as stack:
            session, request = stack.enter_context(self._request(name, prompt, options))
            return AsyncTextStream(session, request, on_end=stack.pop_all().close)

    async def agenerate_batch(
        self,
        name: str | Mapping[str, float],
        prompts: Iterable[str | Mapping[str, Any]],
        *,
        return_exceptions: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> list[InferenceResult | Exception]:
        """`generate_batch` as a coroutine."""
        with self._chosen(name) as (lead, applied):
            requests = lead.requests(prompts, applied=applied, **options)
            return checked(await arun_batch(lead.session, requests), return_exceptions)

    # --- knowing ---------------------------------------------------------------------

    def route(self, prompt: str) -> Route:
        """Which expert ``"auto"`` chooses for this prompt, and every expert's score."""
        with self._lock:
            self._check_open()
            if self._router is None:
                self._router = Router({n: e.manifest for n, e in self._entries.items()})
            return self._router.route(prompt)

    def stats(self) -> dict[str, Any]:
        """Counters since the manager was made, as plain numbers, texts and lists.

        ``experts``: loads, evictions, hits; ``bases``: for each model in use its memory,
        requests, tokens, swaps, queue and KV cache.
        """
        with self._lock:
            resident = [e.expert for e in self._entries.values() if e.expert is not None]
            sessions = {id(expert.session): expert.session for expert in resident}
            sessions |= self._kept
            return {
                "experts": {
                    "registered": len(self._entries),
                    "resident": len(resident),
                    **vars(self.counters),
                },
                "memory": self._memory(),
                "bases": [session.stats() for session in sessions.values()],
            }

    def close(self) -> None:
        """Unload everything; the manager cannot be used afterwards."""
        with self._lock:
            self._closed = True
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            self._close_expert(entry)
        for session in self._kept.values():
            session.release()
        self._kept.clear()

    def __enter__(self) -> ExpertManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(self._entries)
        return f"<ExpertManager {'closed' if self._closed else names or 'empty'}>"

    # --- choosing --------------------------------------------------------------------

    @contextlib.contextmanager
    def _request(
        self, name: str | Mapping[str, float], prompt: str | None, options: GenerationOptions
    ) -> Iterator[tuple[Session, Request]]:
        """The request and where to compute it; the experts stay resident meanwhile."""
        if name == AUTO:
            name = self._routed(prompt, options)
        if name == "base":
            with self._base() as (session, builder):
                own: Any = {k: v for k, v in options.items() if k != "adapter_scale"}
                yield session, builder.build(prompt, (), **own)
        else:
            with self._chosen(name) as (lead, applied):
                yield lead.session, lead.request(prompt, applied=applied, **options)

    def _routed(self, prompt: str | None, options: GenerationOptions) -> str:
        asked = prompt
        if asked is None:
            said = [m for m in options.get("messages") or () if m.get("role") == "user"]
            asked = str(said[-1].get("content", "")) if said else ""
        route = self.route(asked)
        self.counters.routed += 1
        logger.debug("routed to %s: %s", route.expert or "the base", route.reason)
        if route.expert is not None:
            return route.expert
        if self._fallback == "error":
            raise InferenceError(
                f"no expert fits this prompt: {route.reason}\n"
                "Name one of "
                + (", ".join(self._entries) or "those you load first")
                + ", or use fallback='base'."
            )
        return "base"

    @contextlib.contextmanager
    def _base(self) -> Iterator[tuple[Session, RequestBuilder]]:
        """The base model of the expert that was used last."""
        with self._lock:
            self._check_open()
            if not self._entries:
                raise InferenceError("no expert is loaded, so there is no base model to ask")
            last = max(self._entries.values(), key=lambda entry: entry.tick)
        with self._resident(last) as expert, expert.base_session() as session:
            manifest = base_manifest(expert.manifest)
            chooser = GrammarChooser(manifest, session, _no_grammar)
            yield session, RequestBuilder(manifest, session, chooser)

    @contextlib.contextmanager
    def _chosen(self, name: str | Mapping[str, float]) -> Iterator[tuple[Expert, Applied]]:
        """The expert that builds the requests, and the adapters to apply."""
        weights = {name: 1.0} if isinstance(name, str) else dict(name)
        if not weights:
            raise ValueError("a blend needs at least one expert")
        with contextlib.ExitStack() as stack:
            entries = {one: self._entry(one) for one in weights}
            experts = {
                one: stack.enter_context(self._resident(entry)) for one, entry in entries.items()
            }
            lead = next(iter(experts.values()))
            if len(experts) == 1:
                (weight,) = weights.values()
                yield lead, lead.applied(weight)
                return
            check_together([expert.manifest for expert in experts.values()])
            applied: Applied = ()
            for one, expert in experts.items():
                if expert.prepared.lora is None:
                    raise InferenceError(
                        f"{one!r} cannot be blended: it is a variant, merged into its base\n"
                        "Load it with adapter_mode='lora'."
                    )
                if expert.session is not lead.session:
                    raise InferenceError(
                        f"{one!r} is on {expert.base.path.name} and {next(iter(experts))!r} on "
                        f"{lead.base.path.name}: only experts on one base, loaded with the same "
                        "options, can be blended"
                    )
                applied += expert.applied(weights[one])
            # the order does not matter to the model, but to what is found in the KV cache
            yield lead, tuple(sorted(applied, key=lambda pair: id(pair[0])))

    @contextlib.contextmanager
    def _resident(self, entry: _Entry) -> Iterator[Expert]:
        """The expert of an entry, brought back if it was evicted, and kept while it is used."""
        with self._lock:
            entry.in_use += 1
            entry.uses += 1
            entry.tick, entry.last_used = next(self._clock), time.time()
        try:
            yield self._bring_back(entry)
        finally:
            with self._lock:
                entry.in_use -= 1
                entry.last_used = time.time()
                self._make_room(None)

    def _bring_back(self, entry: _Entry) -> Expert:
        with entry.lock:
            if entry.expert is not None:
                self.counters.hits += 1
                return entry.expert
            if self._entries.get(entry.name) is not entry:
                raise InferenceError(f"the expert {entry.name!r} was unloaded meanwhile")
            started = time.perf_counter()
            with self._lock:
                self._make_room(entry)
            expert = Expert.load(entry.path, **{**self._options, **entry.options})
            if expert.manifest.identity != entry.manifest.identity:
                identity = expert.manifest.identity
                expert.close()
                raise LoadError(
                    f"{entry.path}: {identity} is there now, where {entry.manifest.identity} "
                    "was loaded from; unload and load it again"
                )
            seconds = time.perf_counter() - started
            with self._lock:
                entry.expert = expert
                self._keep(expert.session)
                self.counters.reloads += 1
                self.counters.load_seconds += seconds
            logger.info("brought %s back in %.0f ms", entry.name, seconds * 1000)
            return expert

    def _new_entry(
        self, name: str, path: str | os.PathLike[str], options: Mapping[str, Any], expert: Expert
    ) -> _Entry:
        self._keep(expert.session)
        now = time.time()
        return _Entry(
            name=name,
            path=path,
            options=options,
            manifest=expert.manifest,
            expert=expert,
            base=expert.base.path.name,
            mode=expert.prepared.form,
            loaded_at=now,
            last_used=now,
            tick=next(self._clock),
        )

    def _entry(self, name: str) -> _Entry:
        with self._lock:
            self._check_open()
            try:
                return self._entries[name]
            except KeyError:
                loaded = ", ".join(self._entries) or "none"
                raise InferenceError(
                    f"no expert named {name!r} is loaded\nLoaded: {loaded}. "
                    "Load it with load_expert(name, path)."
                ) from None

    def _check_open(self) -> None:
        if self._closed:
            raise InferenceError("the manager was closed")

    # --- limits ----------------------------------------------------------------------

    def _make_room(self, wanted: _Entry | None) -> None:
        """Evict what was used longest ago until all is within the limits, ``wanted`` included.

        Raises OutOfMemoryError if ``wanted`` is more than is allowed by itself.
        """
        idle = [
            entry
            for entry in self._entries.values()
            if entry is not wanted and entry.expert is not None and not entry.in_use
        ]
        idle.sort(key=lambda entry: entry.tick)
        while idle and self._over_limits(wanted):
            entry = idle.pop(0)
            self._close_expert(entry)
            self.counters.evictions += 1
            logger.info("evicted %s", entry.name)
        if wanted is None or self._max_memory is None:
            return
        alone = not any(e.expert for e in self._entries.values() if e is not wanted)
        memory = self._memory()
        if alone and memory > self._max_memory:
            raise OutOfMemoryError(
                f"{wanted.name!r} and its base take {memory / 1e6:.0f} MB; max_memory allows "
                f"{self._max_memory / 1e6:.0f} MB\nUse a smaller n_ctx, another quantization, or "
                "a larger max_memory."
            )

    def _over_limits(self, wanted: _Entry | None) -> bool:
        resident = sum(entry.expert is not None for entry in self._entries.values())
        resident += wanted is not None and wanted.expert is None
        return bool(
            (self._max_experts is not None and resident > self._max_experts)
            or (self._max_memory is not None and self._memory() > self._max_memory)
        )

    def _memory(self) -> int:
        """Bytes of all models, contexts, parked prefixes and adapters, each counted once."""
        experts = [e.expert for e in self._entries.values() if e.expert is not None]
        sessions = {id(expert.session): expert.session for expert in experts} | self._kept
        models = {id(session.model): session.model.size for session in sessions.values()}
        adapters = sum(expert.memory for expert in experts if expert.prepared.lora is not None)
        return sum(models.values()) + sum(s.memory for s in sessions.values()) + adapters

    def _keep(self, session: Session) -> None:
        if self._keep_base and id(session) not in self._kept:
            session.retain()
            self._kept[id(session)] = session

    def _close_expert(self, entry: _Entry) -> None:
        """Free an expert. One that is being brought back right now is in use, not idle."""
        expert, entry.expert = entry.expert, None
        if expert is not None:
            expert.close()


def _no_grammar() -> Grammar:
    raise GrammarError("the base model alone brings no grammar\nName one with grammar=….")


def base_manifest(manifest: Manifest) -> Manifest:
    """A manifest for asking an expert's base model alone, with no defaults of the expert's."""
    return type(manifest)(
        name=manifest.base.short_name,
        version="base",
        schema_version=manifest.schema_version,
        base=manifest.base,
        raw={},
    )


def _status(entry: _Entry) -> ExpertStatus:
    return ExpertStatus(
        name=entry.name,
        expert=entry.manifest.name,
        version=entry.manifest.version,
        base=entry.base,
        mode=entry.mode,
        memory=entry.expert.memory if entry.expert is not None else 0,
        state="evicted" if entry.expert is None else "resident",
        loaded_at=entry.loaded_at,
        last_used=entry.last_used,
        uses=entry.uses,
    )

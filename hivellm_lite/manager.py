"""Many experts on few bases: asked by name, by the prompt, or blended."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .async_generation import AsyncTextStream, arun_batch
from .constraints import check_together
from .decoding import Request
from .errors import GrammarError, InferenceError
from .expert import Expert, checked
from .expert_registry import ExpertRegistry, ExpertStatus
from .generation import TextStream, run_batch
from .grammar_choice import GrammarChooser
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

AUTO, BASE = "auto", "base"
"""Names that are not an expert's."""

FALLBACKS = (BASE, "error")


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
        if fallback not in FALLBACKS:
            raise ValueError(f"fallback={fallback!r}: must be one of {', '.join(FALLBACKS)}")
        self._registry = ExpertRegistry(
            max_experts=max_loaded_experts,
            max_memory=max_memory,
            keep_base=keep_base,
            options=options,
        )
        self._fallback = fallback
        self._router = (0, Router({}))
        self._n_routed = 0

    # --- loading ---------------------------------------------------------------------

    def load_expert(self, name: str, path: str | os.PathLike[str], **options: Any) -> ExpertStatus:
        """Load a package under a name of your own; options are those of `Expert.load`.

        Raises LoadError or one of its kinds, also where the manifests' constraints forbid
        it beside the experts that are loaded, and ValueError for a name in use.
        """
        if not name or name in (AUTO, BASE):
            raise ValueError(f"{name!r} cannot be an expert's name")
        return self._registry.load(name, path, options).status

    def unload_expert(self, name: str, *, force: bool = False) -> None:
        """Forget an expert; what it generates at the moment ends. Frees its base after the
        last expert on it, unless ``keep_base``.

        Raises InferenceError for an unknown name, and LoadError, without ``force``, if
        another loaded expert requires this one.
        """
        self._registry.unload(name, force=force)

    def list_loaded_experts(self) -> list[ExpertStatus]:
        """Every expert by name, the last used first."""
        return [entry.status for entry in self._registry.entries()]

    def manifest(self, name: str) -> Manifest:
        """The manifest of a loaded expert. Raises InferenceError for an unknown name."""
        return self._registry.entry(name).manifest

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
            return TextStream(session, request, ahead=True).run()

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
            return await AsyncTextStream(session, request, ahead=True).run()

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
        self._registry.check_open()
        version, router = self._router
        if version != self._registry.version:
            version = self._registry.version  # read before the entries: an older one is no harm
            entries = self._registry.entries()
            router = Router({entry.name: entry.manifest for entry in entries})
            self._router = version, router
        return router.route(prompt)

    def stats(self) -> dict[str, Any]:
        """Counters since the manager was made, as plain numbers, texts and lists.

        ``experts``: loads, evictions, hits; ``bases``: for each model in use its memory,
        requests, tokens, swaps, queue and KV cache.
        """
        stats = self._registry.stats()
        stats["experts"]["routed"] = self._n_routed
        return stats

    def close(self) -> None:
        """Unload everything; the manager cannot be used afterwards."""
        self._registry.close()

    def __enter__(self) -> ExpertManager:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        names = ", ".join(entry.name for entry in self._registry.entries())
        return f"<ExpertManager {'closed' if self._registry.closed else names or 'empty'}>"

    # --- choosing --------------------------------------------------------------------

    @contextlib.contextmanager
    def _request(
        self, name: str | Mapping[str, float], prompt: str | None, options: GenerationOptions
    ) -> Iterator[tuple[Session, Request]]:
        """The request and where to compute it; the experts stay resident meanwhile."""
        if name == AUTO:
            name = self._routed(prompt, options)
        if name == BASE:
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
        self._n_routed += 1
        logger.debug("routed to %s: %s", route.expert or "the base", route.reason)
        if route.expert is not None:
            return route.expert
        if self._fallback == "error":
            names = ", ".join(score.name for score in route.scores) or "those you load first"
            raise InferenceError(
                f"no expert fits this prompt: {route.reason}\n"
                f"Name one of {names}, or use fallback='base'."
            )
        return BASE

    @contextlib.contextmanager
    def _base(self) -> Iterator[tuple[Session, RequestBuilder]]:
        """The base model of the expert that was used last."""
        self._registry.check_open()
        entries = self._registry.entries()
        if not entries:
            raise InferenceError("no expert is loaded, so there is no base model to ask")
        with self._registry.resident(entries[0]) as expert:
            session = self._registry.base_session(entries[0], expert)
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
            entries = [self._registry.entry(one) for one in weights]
            experts = {
                entry.name: stack.enter_context(self._registry.resident(entry)) for entry in entries
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

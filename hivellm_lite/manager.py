"""Many experts on few bases: asked by name, by the prompt, or blended."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

from .errors import GrammarError, InferenceError
from .expert import Expert, checked
from .expert_registry import ExpertHold, ExpertRegistry, ExpertStatus
from .inference.async_streams import AsyncTextStream, Prepared, arun_batch
from .inference.decoding import Request
from .inference.results import InferenceResult
from .inference.streams import TextStream, run_batch
from .manifest.constraints import check_together
from .process.state import no_copy
from .requests.argument_types import check_prompts, check_types
from .requests.builder import RequestBuilder
from .requests.grammars import GrammarChooser
from .routing import Route, Router

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .engine import Applied
    from .gbnf import Grammar
    from .inference.session import Session
    from .manifest.parsing import Manifest
    from .requests.builder import GenerationOptions

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
        return self._stream(name, prompt, options, ahead=True).run()

    def generate_stream(
        self,
        name: str | Mapping[str, float],
        prompt: str | None = None,
        **options: Unpack[GenerationOptions],
    ) -> TextStream:
        """`generate` piece by piece; see `TextStream`."""
        return self._stream(name, prompt, options)

    def generate_batch(
        self,
        name: str | Mapping[str, float],
        prompts: Iterable[str | Mapping[str, Any]],
        *,
        return_exceptions: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> list[InferenceResult | Exception]:
        """Ask one expert, or a blend, several prompts together; see `Expert.generate_batch`."""
        prepared = self._prepare_batch(name, check_prompts(prompts), options)
        try:
            outcomes = run_batch(prepared.session, prepared.requests)
        finally:
            prepared.release()
        return checked(outcomes, return_exceptions)

    async def agenerate(
        self,
        name: str | Mapping[str, float],
        prompt: str | None = None,
        **options: Unpack[GenerationOptions],
    ) -> InferenceResult:
        """`generate` as a coroutine; cancelling the task stops the decoding."""
        prepare = partial(self._prepare, name, prompt, options)
        return await AsyncTextStream(prepare, ahead=True).run()

    def agenerate_stream(
        self,
        name: str | Mapping[str, float],
        prompt: str | None = None,
        **options: Unpack[GenerationOptions],
    ) -> AsyncTextStream:
        """`generate_stream` for ``async for``."""
        return AsyncTextStream(partial(self._prepare, name, prompt, options))

    async def agenerate_batch(
        self,
        name: str | Mapping[str, float],
        prompts: Iterable[str | Mapping[str, Any]],
        *,
        return_exceptions: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> list[InferenceResult | Exception]:
        """`generate_batch` as a coroutine."""
        prepare = partial(self._prepare_batch, name, check_prompts(prompts), options)
        return checked(await arun_batch(prepare), return_exceptions)

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

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise no_copy(self)

    def __repr__(self) -> str:
        names = ", ".join(entry.name for entry in self._registry.entries())
        return f"<ExpertManager {'closed' if self._registry.closed else names or 'empty'}>"

    # --- choosing --------------------------------------------------------------------

    def _stream(
        self,
        name: str | Mapping[str, float],
        prompt: str | None,
        options: GenerationOptions,
        *,
        ahead: bool = False,
    ) -> TextStream:
        prepared = self._prepare(name, prompt, options)
        (request,) = prepared.requests
        assert isinstance(request, Request)  # `_prepare` raises  # noqa: S101
        return TextStream(prepared.session, request, ahead=ahead, hold=prepared.hold)

    def _prepare(
        self, name: str | Mapping[str, float], prompt: str | None, options: GenerationOptions
    ) -> Prepared:
        """The request and where to compute it; the experts stay resident meanwhile."""
        if name == AUTO:
            name = self._routed(prompt, options)
        chosen = self._base() if name == BASE else self._chosen(name)
        try:
            if chosen.builder is None:
                request = chosen.lead.request(prompt, applied=chosen.applied, **options)
            else:
                check_types({**options, "prompt": prompt})
                own: Any = {k: v for k, v in options.items() if k != "adapter_scale"}
                with chosen.session.in_use():
                    request = chosen.builder.build(prompt, (), **own)
            return Prepared(chosen.session, [request], chosen.hold)
        except BaseException:
            chosen.hold.release()
            raise

    def _prepare_batch(
        self,
        name: str | Mapping[str, float],
        prompts: Sequence[str | Mapping[str, Any]],
        options: GenerationOptions,
    ) -> Prepared:
        chosen = self._chosen(name)
        try:
            requests = chosen.lead.requests(prompts, applied=chosen.applied, **options)
            return Prepared(chosen.session, requests, chosen.hold)
        except BaseException:
            chosen.hold.release()
            raise

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

    def _base(self) -> _Chosen:
        """The base model of the expert that was used last."""
        self._registry.check_open()
        entries = self._registry.entries()
        if not entries:
            raise InferenceError("no expert is loaded, so there is no base model to ask")
        hold = self._registry.hold(entries[:1])
        try:
            expert = self._registry.bring_back(entries[0])
            session = self._registry.base_session(entries[0], expert)
            manifest = base_manifest(expert.manifest)
            chooser = GrammarChooser(manifest, session, _no_grammar)
            builder = RequestBuilder(manifest, session, chooser)
            return _Chosen(expert, session, (), hold, builder)
        except BaseException:
            hold.release()
            raise

    def _chosen(self, name: str | Mapping[str, float]) -> _Chosen:
        """The expert that builds the requests, and the adapters to apply."""
        weights = {name: 1.0} if isinstance(name, str) else dict(name)
        if not weights:
            raise ValueError("a blend needs at least one expert")
        entries = [self._registry.entry(one) for one in weights]
        hold = self._registry.hold(entries)
        try:
            experts = {entry.name: self._registry.bring_back(entry) for entry in entries}
            lead = next(iter(experts.values()))
            return _Chosen(lead, lead.session, _blend(experts, weights), hold)
        except BaseException:
            hold.release()
            raise


@dataclass(frozen=True)
class _Chosen:
    """Whom a request goes to. ``builder`` makes it where that is the base, otherwise ``lead``."""

    lead: Expert
    session: Session
    applied: Applied
    hold: ExpertHold
    builder: RequestBuilder | None = None


def _blend(experts: Mapping[str, Expert], weights: Mapping[str, float]) -> Applied:
    """The adapters of one or several experts, each at its weight."""
    lead_name, lead = next(iter(experts.items()))
    if len(experts) == 1:
        return lead.applied(weights[lead_name])
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
                f"{one!r} is on {expert.base.path.name} and {lead_name!r} on "
                f"{lead.base.path.name}: only experts on one base, loaded with the same "
                "options, can be blended"
            )
        applied += expert.applied(weights[one])
    # the order does not matter to the model, but to what is found in the KV cache
    return tuple(sorted(applied, key=lambda pair: id(pair[0])))


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

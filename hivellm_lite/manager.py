"""Many experts on few bases: asked by name, by the prompt, or blended."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, NoReturn, SupportsIndex

from .expert import checked
from .inference.async_streams import AsyncTextStream
from .inference.batches import arun_batch, run_batch
from .inference.decoding import Request
from .inference.off_loop import SCORING, off_loop
from .inference.results import InferenceResult, TokenScore
from .inference.scoring import score_tokens
from .inference.streams import TextStream
from .inference.submissions import Prepared
from .loading.options import LoadOptions, check_names
from .manifest.records import Manifest
from .process.state import no_copy
from .requests.argument_types import check_prompts, check_types
from .requests.batches import UNANSWERABLE, build_each
from .requests.lengths import check_length
from .requests.options import BatchPrompt, GenerationOptions, PromptOptions
from .residency.choice import ExpertChooser, Share
from .residency.entries import ExpertStatus
from .residency.names import AUTO, RESERVED
from .residency.registry import ExpertRegistry
from .residency.stats import ManagerStats
from .routing import Route

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["ExpertManager"]


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
        **options: Unpack[LoadOptions],
    ) -> None:
        """``max_loaded_experts``: experts in memory at once; others wait on disk.
        ``max_memory``: bytes, or a text such as ``"4GB"``, for models, contexts and adapters
        together. ``keep_base``: keep a base model that no expert uses any more.
        ``fallback``: what ``"auto"`` does where no expert fits the prompt: ask the
        ``"base"`` model, or raise (``"error"``). The options are those of `LoadOptions`, for
        every expert.

        Raises ValueError for a limit or fallback out of range, TypeError for a name that is no
        option. Values of options are checked when an expert is loaded.
        """
        check_names(options, caller="ExpertManager")
        self._registry = ExpertRegistry(
            max_experts=max_loaded_experts,
            max_memory=max_memory,
            keep_base=keep_base,
            options=options,
        )
        self._chooser = ExpertChooser(self._registry, fallback)

    # --- loading ---------------------------------------------------------------------

    def load_expert(
        self, name: str, path: str | os.PathLike[str], **options: Unpack[LoadOptions]
    ) -> ExpertStatus:
        """Load a package under a name of your own. ``path`` is that of `Expert.load`; the options
        are those of `LoadOptions` and win over the manager's.

        Raises LoadError or one of its kinds, also where the manifests' constraints forbid
        it beside the experts that are loaded, ValueError for a name in use, and TypeError for a
        name that is no option.
        """
        _check_name(name)
        return self._registry.load(name, path, options).status

    def register_expert(
        self, name: str, path: str | os.PathLike[str], **options: Unpack[LoadOptions]
    ) -> ExpertStatus:
        """`load_expert` at the first use: only the package is opened, and downloaded, now.

        Raises what `load_expert` raises for a name, a package and its manifest. The first use
        raises the rest.
        """
        _check_name(name)
        return self._registry.register(name, path, options).status

    def evict_idle(self, seconds: float) -> list[str]:
        """Take experts out of memory that nobody has used for some seconds, and return their names.
        Their next use brings them back.
        """
        return self._registry.evict_idle(seconds)

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
        """Ask an expert by name.

        ``name`` is also ``"auto"``, which chooses an expert by the prompt; ``"base"``, the base
        model of the expert that was used last; or a blend, a dict of names and weights, which
        applies several LoRA experts of one base at once. The first one's manifest gives a
        blend's form of prompts. The options are those of `GenerationOptions`.

        Raises InferenceError for an unknown name, and what `Expert.generate` raises.
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
        prompts: Iterable[str | BatchPrompt],
        *,
        return_exceptions: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> list[InferenceResult | Exception]:
        """Ask several prompts together; see `Expert.generate_batch` for prompts and results.

        ``name`` is that of `generate`. With ``"auto"`` every prompt goes to the expert that fits
        it; the prompts of one expert are computed together, one expert after the other, and a
        ``timeout`` counts from the beginning of the expert's turn.
        """
        listed = check_prompts(prompts)
        if name != AUTO:
            return checked(self._answer_together(name, listed, options), return_exceptions)
        shares, failed = self._chooser.share_out(listed, options)
        outcomes: dict[int, InferenceResult | Exception] = {**failed}
        for share in shares:
            try:
                answers = self._answer_together(share.name, share.prompts, {})
            except UNANSWERABLE as error:
                answers = _all_failed(share, error)
            outcomes.update(zip(share.places, answers, strict=True))
        return checked(_in_order(outcomes), return_exceptions)

    async def agenerate(
        self,
        name: str | Mapping[str, float],
        prompt: str | None = None,
        **options: Unpack[GenerationOptions],
    ) -> InferenceResult:
        """`generate` as a coroutine; cancelling the task stops the decoding."""
        return await self._astream(name, prompt, options, ahead=True).run()

    def agenerate_stream(
        self,
        name: str | Mapping[str, float],
        prompt: str | None = None,
        **options: Unpack[GenerationOptions],
    ) -> AsyncTextStream:
        """`generate_stream` for ``async for``."""
        return self._astream(name, prompt, options)

    async def agenerate_batch(
        self,
        name: str | Mapping[str, float],
        prompts: Iterable[str | BatchPrompt],
        *,
        return_exceptions: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> list[InferenceResult | Exception]:
        """`generate_batch` as a coroutine; cancelling the task stops the decoding."""
        listed = check_prompts(prompts)
        if name != AUTO:
            answers = await self._aanswer_together(name, listed, options)
            return checked(answers, return_exceptions)
        shares, failed = await off_loop(partial(self._chooser.share_out, listed, options))
        outcomes: dict[int, InferenceResult | Exception] = {**failed}
        for share in shares:
            try:
                answers = await self._aanswer_together(share.name, share.prompts, {})
            except UNANSWERABLE as error:
                answers = _all_failed(share, error)
            outcomes.update(zip(share.places, answers, strict=True))
        return checked(_in_order(outcomes), return_exceptions)

    def score(
        self,
        name: str | Mapping[str, float],
        prompt: str | None,
        completion: str,
        *,
        adapter_scale: float = 1.0,
        **options: Unpack[PromptOptions],
    ) -> list[TokenScore]:
        """Log-probability of every token of ``completion`` as the answer to ``prompt``; see
        `Expert.score`. ``name`` is that of `generate`.
        """
        check_types({"completion": completion})
        told = GenerationOptions(adapter_scale=adapter_scale, grammar="off")
        told.update(options)  # type: ignore[typeddict-item]  # a part of GenerationOptions
        prepared = self._prepare(name, prompt, told)
        try:
            (request,) = prepared.requests
            assert isinstance(request, Request)  # `_prepare` raises  # noqa: S101
            session = prepared.session
            with session.in_use():
                wanted = session.model.tokenize(completion, after="text")
                check_length(session, len(request.prompt), len(wanted))
                return score_tokens(session, request.prompt, wanted, request.applied)
        finally:
            prepared.release()

    async def ascore(
        self,
        name: str | Mapping[str, float],
        prompt: str | None,
        completion: str,
        *,
        adapter_scale: float = 1.0,
        **options: Unpack[PromptOptions],
    ) -> list[TokenScore]:
        """`score` as a coroutine. Cancelling the task does not stop the computing."""
        if name == AUTO:
            told = GenerationOptions(messages=options.get("messages"))
            name = await off_loop(partial(self._chooser.name_for, prompt, told))
        async with self._chooser.resident(name):
            work = partial(
                self.score, name, prompt, completion, adapter_scale=adapter_scale, **options
            )
            return await off_loop(work, threads=SCORING)

    # --- knowing ---------------------------------------------------------------------

    def route(self, prompt: str) -> Route:
        """Which expert ``"auto"`` chooses for this prompt, and every expert's score."""
        return self._chooser.route(prompt)

    def name_for(self, prompt: str | None = None, **options: Unpack[GenerationOptions]) -> str:
        """The name that ``"auto"`` stands for with these arguments of `generate`: an expert's, or
        ``"base"``. It counts as a routed prompt.

        Raises InferenceError where no expert fits and the fallback is an error.
        """
        return self._chooser.name_for(prompt, options)

    def stats(self) -> ManagerStats:
        """Counters since the manager was made, as plain numbers, texts and lists."""
        return self._registry.stats(routed=self._chooser.n_routed)

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

    # --- preparing -------------------------------------------------------------------

    def _stream(
        self,
        name: str | Mapping[str, float],
        prompt: str | None,
        options: GenerationOptions,
        *,
        ahead: bool = False,
    ) -> TextStream:
        return TextStream(self._prepare(name, prompt, options), ahead=ahead)

    def _astream(
        self,
        name: str | Mapping[str, float],
        prompt: str | None,
        options: GenerationOptions,
        *,
        ahead: bool = False,
    ) -> AsyncTextStream:
        chosen = name

        @asynccontextmanager
        async def resident() -> AsyncIterator[None]:
            nonlocal chosen
            if chosen == AUTO:
                chosen = await off_loop(partial(self._chooser.name_for, prompt, options))
            async with self._chooser.resident(chosen):
                yield

        def prepare() -> Prepared:
            return self._prepare(chosen, prompt, options)

        return AsyncTextStream(prepare, ahead=ahead, within=resident)

    async def _aanswer_together(
        self,
        name: str | Mapping[str, float],
        prompts: Sequence[str | BatchPrompt],
        options: GenerationOptions,
    ) -> list[InferenceResult | Exception]:
        async with self._chooser.resident(name):
            return await arun_batch(partial(self._prepare_batch, name, prompts, options))

    def _prepare(
        self, name: str | Mapping[str, float], prompt: str | None, options: GenerationOptions
    ) -> Prepared:
        """The request and where to compute it; the experts stay resident meanwhile."""
        if name == AUTO:
            name = self._chooser.name_for(prompt, options)
        chosen = self._chooser.choose(name)
        try:
            return Prepared(chosen.session, [chosen.make(prompt, **options)], chosen.hold)
        except BaseException:
            chosen.hold.release()
            raise

    def _answer_together(
        self,
        name: str | Mapping[str, float],
        prompts: Sequence[str | BatchPrompt],
        options: GenerationOptions,
    ) -> list[InferenceResult | Exception]:
        return run_batch(self._prepare_batch(name, prompts, options))

    def _prepare_batch(
        self,
        name: str | Mapping[str, float],
        prompts: Sequence[str | BatchPrompt],
        options: GenerationOptions,
    ) -> Prepared:
        """The requests of one expert, a blend or the base, or the errors in their places."""
        chosen = self._chooser.choose(name)
        try:
            requests = build_each(chosen.make, prompts, options)
            return Prepared(chosen.session, requests, chosen.hold)
        except BaseException:
            chosen.hold.release()
            raise


def registry_of(manager: ExpertManager) -> ExpertRegistry:
    """What is below the face of ``manager``; private, as all in this module but the class."""
    return manager._registry


def _check_name(name: str) -> None:
    if not name or name in RESERVED:
        raise ValueError(f"{name!r} cannot be an expert's name")


def _all_failed(share: Share, error: Exception) -> list[InferenceResult | Exception]:
    return [error] * len(share.places)


def _in_order(
    outcomes: Mapping[int, InferenceResult | Exception],
) -> list[InferenceResult | Exception]:
    return [outcomes[place] for place in sorted(outcomes)]

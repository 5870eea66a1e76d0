"""The public face: an expert that was loaded and answers."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, SupportsIndex

from .adapters.prepare import PreparedAdapter
from .bases.base_file import BaseFile
from .inference.results import InferenceResult, TokenScore
from .inference.scoring import score_tokens
from .inference.session import Session
from .inference.streams import TextStream
from .inference.submissions import Prepared
from .loading.loaded_expert import LoadedExpert
from .loading.loaded_parts import LoadTimes
from .loading.parts import load_expert
from .loading.saved_state import load_state, save_state
from .manifest.records import Manifest
from .package.opening import Package
from .process.state import no_copy
from .requests.argument_types import check_prompts, check_types
from .requests.lengths import check_length
from .requests.options import BatchPrompt, GenerationOptions, PromptOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .engine import Applied
    from .inference.async_streams import AsyncTextStream
    from .loading.options import LoadOptions

__all__ = ["Expert"]


class Expert:
    """An expert on its base model, ready to answer.

    ::

        with Expert.load("sql.expert", base="SmolLM2-135M-Instruct.Q4_1.gguf") as expert:
            result = expert.generate("How many users are there?", schema="CREATE TABLE …")
            print(result.text)

    Experts that were loaded with the same base and the same options share one
    model and one context in memory. An expert may be used from several threads;
    their steps take turns.
    """

    def __init__(self, loaded: LoadedExpert) -> None:
        """Users call `load`."""
        self._loaded = loaded

    @classmethod
    def load(cls, path: str | os.PathLike[str], **options: Unpack[LoadOptions]) -> Expert:
        """Open a package, find its base, convert what is not yet converted, load.

        ``path`` is a ``.expert`` archive, a folder, an installed expert (``"sql"``,
        ``"expert-sql@>=0.2,<1"``), or ``owner/repository`` on the Hub (``@revision``,
        ``:file.expert``). The options are those of `LoadOptions`.

        Raises LoadError or one of its kinds, OutOfMemoryError, ValueError for an argument
        out of range, and TypeError for a name that is no option.
        """
        return cls(load_expert(path, options))

    # --- use -------------------------------------------------------------------------

    def generate(
        self, prompt: str | None = None, **options: Unpack[GenerationOptions]
    ) -> InferenceResult:
        """Answer ``prompt``; the options are those of `GenerationOptions`.

        Raises ContextLengthError before anything is computed, GrammarError, and
        ValueError for an argument out of range.
        """
        return TextStream(self._prepare(prompt, options), ahead=True).run()

    def generate_stream(
        self, prompt: str | None = None, **options: Unpack[GenerationOptions]
    ) -> TextStream:
        """Answer ``prompt`` piece by piece; see `TextStream` and `generate`."""
        return TextStream(self._prepare(prompt, options))

    def generate_batch(
        self,
        prompts: Iterable[str | BatchPrompt],
        *,
        return_exceptions: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> list[InferenceResult | Exception]:
        """Answer all prompts together; the results are in the order of the prompts.

        A prompt is a text, or a dict with ``prompt`` and options of its own, which win over
        the common ones (`BatchPrompt`). The beginning that prompts share is computed once.
        ``seed`` is the first prompt's; the next one draws with ``seed + 1``, and so on. With
        ``return_exceptions`` a prompt that fails has its exception in the list; otherwise
        the first exception is raised after all other prompts have ended.
        """
        from .inference.batches import run_batch  # loads asyncio

        outcomes = run_batch(self._prepare_batch(prompts, options))
        return checked(outcomes, return_exceptions)

    def agenerate_stream(
        self, prompt: str | None = None, **options: Unpack[GenerationOptions]
    ) -> AsyncTextStream:
        """`generate_stream` for ``async for``. The request is made in a thread when the first piece
        is asked for, and its errors are raised then.
        """
        from .inference.async_streams import AsyncTextStream  # loads asyncio

        return AsyncTextStream(lambda: self._prepare(prompt, options))

    async def agenerate(
        self, prompt: str | None = None, **options: Unpack[GenerationOptions]
    ) -> InferenceResult:
        """`generate` as a coroutine; cancelling the task stops the decoding."""
        from .inference.async_streams import AsyncTextStream  # loads asyncio

        return await AsyncTextStream(lambda: self._prepare(prompt, options), ahead=True).run()

    async def agenerate_batch(
        self,
        prompts: Iterable[str | BatchPrompt],
        *,
        return_exceptions: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> list[InferenceResult | Exception]:
        """`generate_batch` as a coroutine; cancelling the task stops the decoding."""
        from .inference.batches import arun_batch  # loads asyncio

        listed = check_prompts(prompts)
        outcomes = await arun_batch(lambda: self._prepare_batch(listed, options))
        return checked(outcomes, return_exceptions)

    def _prepare(self, prompt: str | None, options: GenerationOptions) -> Prepared:
        return Prepared(self.session, [self._loaded.request(prompt, **options)])

    def _prepare_batch(
        self, prompts: Iterable[str | BatchPrompt], options: GenerationOptions
    ) -> Prepared:
        return Prepared(self.session, self._loaded.requests(prompts, **options))

    def score(
        self,
        prompt: str | None,
        completion: str,
        *,
        adapter_scale: float = 1.0,
        **options: Unpack[PromptOptions],
    ) -> list[TokenScore]:
        """Log-probability of every token of ``completion`` as the answer to ``prompt``.

        The prompt is built as in `generate`, without thinking. One entry for each token of
        the completion, natural logarithms.

        Raises ContextLengthError when both together do not fit the context.
        """
        session = self.session
        check_types({"adapter_scale": adapter_scale})
        if not isinstance(completion, str):
            raise TypeError(f"completion must be a text, not the type {type(completion).__name__}")
        with session.in_use():
            effect = self._loaded.effect(adapter_scale)
            tokens = [*effect.prefix, *self.tokenize_prompt(prompt, **options)]
            wanted = session.model.tokenize(completion, after="text")
            check_length(session, len(tokens), len(wanted), n_virtual=len(effect.prefix))
            return score_tokens(session, tokens, wanted, effect.applied)

    def tokenize_prompt(
        self,
        prompt: str | None = None,
        *,
        thinking: bool = False,
        **options: Unpack[PromptOptions],
    ) -> list[int]:
        """The token ids of the prompt that `generate` would compute for these arguments.

        A soft prompt, which has no ids, is not among them.
        """
        session = self.session
        check_types({**options, "prompt": prompt, "thinking": thinking})
        with session.in_use():
            return self._loaded.builder.prompt_tokens(prompt, thinking=thinking, **options)

    def save_state(self, path: str | os.PathLike[str]) -> int:
        """Write the KV cache of this expert's last prompt to a file.

        `load_state` takes the file in another process, which then need not compute that prefix
        again. Returns how many tokens it holds. Raises InferenceError if nothing is cached.
        """
        return save_state(self._loaded, path)

    def load_state(self, path: str | os.PathLike[str]) -> int:
        """Take a file of `save_state`: prompts that begin alike continue from it.

        Returns how many tokens it holds. Raises LoadError for a file of another model,
        expert, KV type or library version, and for a damaged one.
        """
        return load_state(self._loaded, path)

    def close(self) -> None:
        """Free the adapter, and the base model if no other expert uses it."""
        self._loaded.close()

    def __enter__(self) -> Expert:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- knowing ---------------------------------------------------------------------

    @property
    def manifest(self) -> Manifest:
        """What the package says about the expert."""
        return self._loaded.manifest

    @property
    def name(self) -> str:
        """The manifest's name."""
        return self.manifest.name

    @property
    def version(self) -> str:
        """The manifest's version."""
        return self.manifest.version

    @property
    def package(self) -> Package:
        """The package, opened."""
        return self._loaded.package

    @property
    def base(self) -> BaseFile:
        """The base model's file, and where it comes from."""
        return self._loaded.base

    @property
    def prepared(self) -> PreparedAdapter:
        """The adapter as it was converted for this base: its form, files, report and loss."""
        return self._loaded.prepared

    @property
    def load_times(self) -> LoadTimes:
        """How long each part of loading took."""
        return self._loaded.times

    @property
    def memory(self) -> int:
        """Bytes that this expert takes beside its base: an adapter, or a variant's own tensors."""
        return self._loaded.memory

    @property
    def float_weights(self) -> Path | None:
        """The base as a Hugging Face folder with its float weights, if it is on this machine."""
        return self._loaded.find_weights()

    @property
    def notes(self) -> tuple[str, ...]:
        """Where answers can depart from those of Transformers, because of the base or because a
        soft prompt is left out.
        """
        session = self.session
        above = session.model.long_rope_above
        notes = (*self.base.notes, *self._loaded.notes)
        if above is None or session.n_ctx <= above:
            return notes
        note = (
            f"n_ctx={session.n_ctx} is more than the {above} positions that this base was first "
            "trained for: LongRoPE's long factors then apply to every prompt, where Transformers "
            f"takes them beyond {above} tokens only. Shorter prompts are exact with n_ctx={above}."
        )
        return (*notes, note)

    # --- measuring -------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The model and context that this expert runs on. Raises InferenceError once closed.

        For measurements: what the session offers may change in any release.
        """
        return self._loaded.session

    def applied(self, scale: float = 1.0) -> Applied:
        """The adapter and its scale, as `session` applies them to what it computes.

        Nothing for scale 0, the base alone, for a variant, which is merged, and for a soft prompt.
        Raises ValueError for another scale of a variant or soft prompt, and for one that is no
        finite number.
        """
        return self._loaded.applied(scale)

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise no_copy(self)

    def __repr__(self) -> str:
        state = "closed" if self._loaded.closed else f"on {self.base.path.name}"
        return f"<Expert {self.manifest.identity} {state}>"


def loaded_of(expert: Expert) -> LoadedExpert:
    """What is below the face of ``expert``; private, as everything in this module but `Expert`."""
    return expert._loaded


def checked(
    outcomes: list[InferenceResult | Exception], return_exceptions: bool
) -> list[InferenceResult | Exception]:
    """The outcomes of a batch; raises the first exception in it unless they are asked for."""
    failed = next((one for one in outcomes if isinstance(one, Exception)), None)
    if failed is not None and not return_exceptions:
        raise failed
    return outcomes

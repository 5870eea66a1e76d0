"""The public face: an expert that was loaded and answers."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .adapters import AdapterOptions, PreparedAdapter, prepare_adapter
from .bases import QUANTIZATIONS, BaseFile, Progress, find_base, find_float_weights
from .cache import Cache
from .errors import InferenceError
from .generation import Request, TextStream, check_length, score_tokens
from .hub import Hub, locate_package
from .manifest import Manifest
from .package import Package, open_package
from .prompts import NO_THOUGHT, TEMPLATES, Segment, check_messages, render, system_message
from .results import InferenceResult, TokenScore
from .sampling import SamplingParams
from .session import Session, open_session

if TYPE_CHECKING:
    from .engine import Adapter

__all__ = ["DEFAULT_MAX_TOKENS", "Expert", "LoadTimes"]

DEFAULT_MAX_TOKENS = 512
"""Length of an answer where neither the caller nor the manifest gives one."""


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

    def __init__(
        self,
        package: Package,
        base: BaseFile,
        prepared: PreparedAdapter,
        session: Session,
        adapter: Adapter | None,
        load_times: LoadTimes,
        find_weights: Callable[[], Path | None] = lambda: None,
    ) -> None:
        self.package = package
        self.base = base
        self.prepared = prepared
        self.load_times = load_times
        self._session: Session | None = session
        self._adapter = adapter
        self._find_weights = find_weights

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        base: str | os.PathLike[str] | None = None,
        device: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        n_ctx: int = 2048,
        n_threads: int | None = None,
        kv_type: str = "f16",
        flash_attention: bool | None = None,
        quantization: str = QUANTIZATIONS[0],
        adapter_mode: str = "auto",
        extra_rank: int | None = None,
        variant_type: str | None = None,
        force: bool = False,
        float_weights: str | os.PathLike[str] | None = None,
        verify: bool = True,
        offline: bool = False,
        progress: Progress | None = None,
    ) -> Expert:
        """Open a package, find its base, convert what is not yet converted, load.

        ``path`` is a ``.expert`` archive, a folder, or ``owner/repository`` on the
        Hub (``@revision``, ``:file.expert``). ``base`` is a GGUF file, a Hugging Face
        folder or such a repository; without it the base is looked for by its name.
        ``device``: ``auto`` (default), ``cpu``, ``cuda``, ``cuda:1``, ``metal``,
        ``vulkan``. ``cache_dir`` overrides ``HIVELLM_HOME``. ``n_ctx`` is in
        tokens. ``kv_type``: ``f32``, ``f16``, ``bf16``, ``q8_0``.
        ``quantization``: what safetensors are converted to. ``adapter_mode``,
        ``extra_rank``, ``variant_type``, ``force``: see `AdapterOptions`.
        ``float_weights``: the base's Hugging Face folder to measure and merge with,
        where ``base`` is a quantised GGUF; looked for if not given.
        ``verify=False`` ignores a digest file beside the package. ``offline=True``
        asks no network, as ``HF_HUB_OFFLINE=1`` does.
        ``progress(label, done, total)`` is called while downloading and converting.

        Raises LoadError or one of its kinds, OutOfMemoryError, and ValueError
        for an argument out of range.
        """
        from .engine import Adapter, ContextOptions

        options = ContextOptions(n_ctx, n_threads, kv_type, flash_attention)
        adapter_options = AdapterOptions(adapter_mode, extra_rank, variant_type, force)
        cache = Cache(cache_dir)
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
                return Path(float_weights).expanduser()
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
        session = open_session(
            prepared.files, device or "auto", options, n_tensors=prepared.n_tensors
        )
        try:
            adapter = Adapter(session.model, prepared.lora) if prepared.lora else None
        except BaseException:
            session.release()
            raise
        times = LoadTimes(
            package_s, base_s, adapter_s, lap(), base_file.converted, prepared.converted
        )
        return cls(package, base_file, prepared, session, adapter, times, find_weights)

    # --- use -------------------------------------------------------------------------

    def generate(self, prompt: str | None = None, **options: Any) -> InferenceResult:
        """Answer ``prompt``. Takes the arguments of `generate_stream`; returns the result."""
        stream = self.generate_stream(prompt, **options)
        for _ in stream:
            pass
        assert stream.result is not None  # noqa: S101 - an exhausted stream has a result
        return stream.result

    def generate_stream(
        self,
        prompt: str | None = None,
        *,
        schema: str | None = None,
        system: str | None = None,
        messages: Sequence[Mapping[str, Any]] | None = None,
        temperature: float | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        seed: int | None = None,
        max_tokens: int | None = None,
        stop: str | Sequence[str] | None = None,
        thinking: bool = False,
        template: str | None = None,
        adapter_scale: float = 1.0,
    ) -> TextStream:
        """Answer ``prompt`` piece by piece; see `TextStream`.

        ``schema`` goes into the system message that this kind of expert was
        trained with; ``system`` replaces that message; ``messages`` (dicts with
        ``role`` and ``content``) replaces prompt and system message.
        Sampling values and ``max_tokens`` that are not given come from the
        manifest, then from `SamplingParams`. ``seed`` is drawn if not given.
        ``stop`` replaces the manifest's stop sequences and is taken literally.
        ``thinking`` lets a thinking model think; the thought is in the result.
        ``template``: ``chatml`` or ``hivellm-tags``. ``adapter_scale`` 0 is
        the base model alone.

        Raises ContextLengthError before anything is computed, and ValueError
        for an argument out of range.
        """
        session = self._open_session()
        decoding = self.manifest.decoding
        sampling = (
            SamplingParams()
            .override(vars(decoding))
            .override(
                {
                    "temperature": temperature,
                    "top_k": top_k,
                    "top_p": top_p,
                    "min_p": min_p,
                    "repetition_penalty": repetition_penalty,
                }
            )
        )
        limit = max_tokens if max_tokens is not None else decoding.max_tokens
        limit = DEFAULT_MAX_TOKENS if limit is None else limit
        if limit < 1:
            raise ValueError(f"max_tokens={limit}: must be 1 or more")
        if seed is not None and not 0 <= seed < 1 << 32:
            raise ValueError(f"seed={seed}: must be from 0 to {(1 << 32) - 1}")
        literal = (stop,) if isinstance(stop, str) else tuple(stop or ())
        tokens = self._prompt_tokens(prompt, schema, system, messages, thinking, template)
        check_length(session, len(tokens))
        return TextStream(
            session,
            Request(
                expert=self.manifest.identity,
                prompt=tokens,
                adapter=self._adapter_at(adapter_scale),
                adapter_scale=adapter_scale or 1.0,
                sampling=sampling,
                seed=secrets.randbits(32) if seed is None else seed,
                max_tokens=limit,
                literal_stops=(*literal, self._template(template).stop),
                balanced_stops=decoding.stop_sequences if stop is None else (),
            ),
        )

    def score(
        self,
        prompt: str | None,
        completion: str,
        *,
        schema: str | None = None,
        system: str | None = None,
        messages: Sequence[Mapping[str, Any]] | None = None,
        template: str | None = None,
        adapter_scale: float = 1.0,
    ) -> list[TokenScore]:
        """Log-probability of every token of ``completion`` as the answer to ``prompt``.

        The prompt is built as in `generate_stream`, without thinking. One entry
        for each token of the completion, natural logarithms.

        Raises ContextLengthError when both together do not fit the context.
        """
        session = self._open_session()
        tokens = self._prompt_tokens(prompt, schema, system, messages, False, template)
        wanted = session.model.tokenize(completion)
        check_length(session, len(tokens), len(wanted))
        adapter = self._adapter_at(adapter_scale)
        return score_tokens(session, tokens, wanted, adapter, adapter_scale or 1.0)

    def tokenize_prompt(
        self,
        prompt: str | None = None,
        *,
        schema: str | None = None,
        system: str | None = None,
        messages: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool = False,
        template: str | None = None,
    ) -> list[int]:
        """The token ids that `generate` would compute for these arguments."""
        return self._prompt_tokens(prompt, schema, system, messages, thinking, template)

    def load_adapter(self, session: Session) -> Adapter | None:
        """The adapter on another session of the same model; None for a variant.

        Give it back with ``session.forget_adapter``.
        """
        from .engine import Adapter

        lora = self.prepared.lora
        return Adapter(session.model, lora) if lora is not None else None

    @property
    def float_weights(self) -> Path | None:
        """The base as a Hugging Face folder with its float weights, if it is on this machine."""
        return self._find_weights()

    @property
    def manifest(self) -> Manifest:
        return self.package.manifest

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def version(self) -> str:
        return self.manifest.version

    def close(self) -> None:
        """Free the adapter, and the base model if no other expert uses it."""
        if self._session is not None:
            session, self._session = self._session, None
            if self._adapter is not None:
                session.forget_adapter(self._adapter)
            session.release()

    def __enter__(self) -> Expert:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._session is None else f"on {self.base.path.name}"
        return f"<Expert {self.manifest.identity} {state}>"

    def _adapter_at(self, scale: float) -> Adapter | None:
        """The adapter to apply; none for the base alone, and for a variant, which is merged."""
        if self._adapter is None and scale != 1.0:
            raise ValueError(
                f"adapter_scale={scale}: a variant is merged and has no scale; "
                "load the expert with adapter_mode='lora'"
            )
        return self._adapter if scale else None

    # --- prompt ----------------------------------------------------------------------

    def _open_session(self) -> Session:
        if self._session is None:
            raise InferenceError(f"the expert {self.manifest.identity} was closed; load it again")
        return self._session

    def _template(self, name: str | None) -> Any:
        wanted = name or self.manifest.base.prompt_template or "chatml"
        try:
            return TEMPLATES[wanted]
        except KeyError:
            if name is None:  # a manifest may name what it likes: the reference is ChatML
                return TEMPLATES["chatml"]
            raise ValueError(f"template={name!r}: must be one of {', '.join(TEMPLATES)}") from None

    def _prompt_tokens(
        self,
        prompt: str | None,
        schema: str | None,
        system: str | None,
        messages: Sequence[Mapping[str, Any]] | None,
        thinking: bool,
        template: str | None,
    ) -> list[int]:
        if (prompt is None) == (messages is None):
            raise ValueError("give either a prompt or messages")
        if messages is not None:
            if schema is not None or system is not None:
                raise ValueError("messages replaces schema and system; give only one of them")
            turns = check_messages(messages)
        else:
            if system is not None and schema is not None:
                raise ValueError("system replaces schema; give only one of them")
            said = system if system is not None else system_message(self.manifest, schema)
            turns = [("system", said)] if said else []
            turns.append(("user", prompt or ""))
        model = self._open_session().model
        thinks = model.special_token(NO_THOUGHT[0]) is not None
        prefix = NO_THOUGHT if thinks and not thinking else ()
        segments = render(self._template(template), turns, answer_prefix=prefix)
        tokens = [model.begin_token] if model.begin_token is not None else []
        for segment in segments:
            tokens += self._tokenize(segment)
        return tokens

    def _tokenize(self, segment: Segment) -> list[int]:
        return self._open_session().model.tokenize(segment.text, special=segment.control)

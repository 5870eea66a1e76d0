"""The public face: an expert that was loaded and answers."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

from .adapters.prepare import AdapterOptions
from .bases.search import QUANTIZATIONS, Progress
from .cache.store import Cache
from .errors import ExpertError, InferenceError
from .expert_loading import LoadedParts, load_parts
from .inference.async_streams import AsyncTextStream, Prepared, arun_batch
from .inference.decoding import Request
from .inference.kv_files import read_kv_file, write_kv_file
from .inference.kv_streams import DEFAULT_PARKED_BYTES
from .inference.results import InferenceResult, TokenScore
from .inference.session import Session, SessionOptions, open_session
from .inference.streams import TextStream, check_length, run_batch, score_tokens
from .manifest.parsing import Manifest
from .package.grammar import package_grammar
from .process.state import no_copy
from .prompts.template_files import package_template
from .requests.argument_types import check_prompts, check_types
from .requests.builder import GenerationOptions, PromptOptions, RequestBuilder, RequestOptions
from .requests.grammars import GrammarChooser

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .engine import Adapter, Applied

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

    def __init__(self, parts: LoadedParts) -> None:
        """Takes over what `load_parts` loaded; users call `load`."""
        package, session = parts.package, parts.session
        self.package = package
        self.base = parts.base
        self.prepared = parts.prepared
        self.load_times = parts.times
        self._session: Session | None = session
        self._adapter = parts.adapter
        self._cache = parts.cache
        self._find_weights = parts.find_weights
        grammars = GrammarChooser(package.manifest, session, lambda: package_grammar(package))
        self._builder = RequestBuilder(
            package.manifest, session, grammars, lambda: package_template(package)
        )
        self._builder.prepare()

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
        max_streams: int = 16,
        kv_positions: int | None = None,
        parked_bytes: int = DEFAULT_PARKED_BYTES,
        own_context: bool = False,
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
        ``max_streams``, ``kv_positions``, ``parked_bytes``: see `SessionOptions`;
        ``own_context=True`` shares the model but not the context with other experts.
        ``progress(label, done, total)`` is called while downloading and converting.

        Raises LoadError or one of its kinds, OutOfMemoryError, and ValueError
        for an argument out of range.
        """
        from .engine import ContextOptions

        options = SessionOptions(
            ContextOptions(n_ctx, n_threads, kv_type, flash_attention),
            max_streams=max_streams,
            kv_positions=kv_positions,
            parked_bytes=parked_bytes,
            shared=not own_context,
        )
        return cls(
            load_parts(
                path,
                base=base,
                device=device or "auto",
                cache=Cache(cache_dir),
                options=options,
                adapter_options=AdapterOptions(adapter_mode, extra_rank, variant_type, force),
                quantization=quantization,
                float_weights=float_weights,
                verify=verify,
                offline=offline,
                progress=progress,
            )
        )

    # --- use -------------------------------------------------------------------------

    def generate(
        self, prompt: str | None = None, **options: Unpack[GenerationOptions]
    ) -> InferenceResult:
        """Answer ``prompt``; the options are those of `GenerationOptions`.

        Raises ContextLengthError before anything is computed, GrammarError, and
        ValueError for an argument out of range.
        """
        request = self.request(prompt, **options)
        return TextStream(self._open_session(), request, ahead=True).run()

    def generate_stream(
        self, prompt: str | None = None, **options: Unpack[GenerationOptions]
    ) -> TextStream:
        """Answer ``prompt`` piece by piece; see `TextStream` and `generate`."""
        return TextStream(self._open_session(), self.request(prompt, **options))

    def generate_batch(
        self,
        prompts: Iterable[str | Mapping[str, Any]],
        *,
        return_exceptions: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> list[InferenceResult | Exception]:
        """Answer all prompts together; the results in their order.

        A prompt is a text, or a dict with ``prompt`` and options of its own, which win over
        the common ones. The beginning that prompts share is computed once. ``seed`` is that
        of the first prompt, the next one draws with ``seed + 1`` and so on. With
        ``return_exceptions`` a prompt that fails has its exception in the list; otherwise
        the first one is raised after all others have ended.
        """
        outcomes = run_batch(self._open_session(), self.requests(prompts, **options))
        return checked(outcomes, return_exceptions)

    def agenerate_stream(
        self, prompt: str | None = None, **options: Unpack[GenerationOptions]
    ) -> AsyncTextStream:
        """`generate_stream` for ``async for``. The request is made when it is first asked for a
        piece, in a thread, and so are its errors.
        """
        return AsyncTextStream(lambda: self._prepare(prompt, options))

    async def agenerate(
        self, prompt: str | None = None, **options: Unpack[GenerationOptions]
    ) -> InferenceResult:
        """`generate` as a coroutine; cancelling the task stops the decoding."""
        return await AsyncTextStream(lambda: self._prepare(prompt, options), ahead=True).run()

    async def agenerate_batch(
        self,
        prompts: Iterable[str | Mapping[str, Any]],
        *,
        return_exceptions: bool = False,
        **options: Unpack[GenerationOptions],
    ) -> list[InferenceResult | Exception]:
        """`generate_batch` as a coroutine; cancelling the task stops the decoding."""
        listed = check_prompts(prompts)

        def prepare() -> Prepared:
            return Prepared(self._open_session(), self.requests(listed, **options))

        return checked(await arun_batch(prepare), return_exceptions)

    def _prepare(self, prompt: str | None, options: GenerationOptions) -> Prepared:
        return Prepared(self._open_session(), [self.request(prompt, **options)])

    def request(
        self,
        prompt: str | None = None,
        *,
        applied: Applied | None = None,
        adapter_scale: float = 1.0,
        **options: Unpack[RequestOptions],
    ) -> Request:
        """What `generate` would compute for these arguments.

        ``applied`` are other adapters on the same session, for a blend; ``adapter_scale``
        multiplies the scales of all.
        """
        session = self._open_session()
        check_types({**options, "prompt": prompt, "adapter_scale": adapter_scale})
        own = self.applied(adapter_scale)
        if applied is None:
            applied = own
        elif adapter_scale != 1.0:
            scaled = ((adapter, scale * adapter_scale) for adapter, scale in applied)
            applied = tuple(pair for pair in scaled if pair[1])
        with session.in_use():
            return self._builder.build(prompt, applied, **options)

    def requests(
        self,
        prompts: Iterable[str | Mapping[str, Any]],
        *,
        applied: Applied | None = None,
        **options: Unpack[GenerationOptions],
    ) -> list[Request | Exception]:
        """What `generate_batch` would compute, and the errors of prompts that cannot be asked."""
        built: list[Request | Exception] = []
        seed = options.get("seed")
        for index, entry in enumerate(check_prompts(prompts)):
            own: dict[str, Any] = {**options}
            if seed is not None:
                own["seed"] = (seed + index) % (1 << 32)
            own |= {"prompt": entry} if isinstance(entry, str) else entry
            try:
                built.append(self.request(applied=applied, **own))
            except (ExpertError, ValueError, TypeError) as error:
                built.append(error)
        return built

    @property
    def notes(self) -> tuple[str, ...]:
        """Where answers can depart from those of Transformers, because of the base."""
        session = self._open_session()
        above = session.model.long_rope_above
        if above is None or session.n_ctx <= above:
            return self.base.notes
        note = (
            f"n_ctx={session.n_ctx} is more than the {above} positions that this base was first "
            "trained for: LongRoPE's long factors then apply to every prompt, where Transformers "
            f"takes them beyond {above} tokens only. Shorter prompts are exact with n_ctx={above}."
        )
        return (*self.base.notes, note)

    def score(
        self,
        prompt: str | None,
        completion: str,
        *,
        adapter_scale: float = 1.0,
        **options: Unpack[PromptOptions],
    ) -> list[TokenScore]:
        """Log-probability of every token of ``completion`` as the answer to ``prompt``.

        The prompt is built as in `generate`, without thinking. One entry
        for each token of the completion, natural logarithms.

        Raises ContextLengthError when both together do not fit the context.
        """
        session = self._open_session()
        check_types({"adapter_scale": adapter_scale})
        if not isinstance(completion, str):
            raise TypeError(f"completion must be a text, not the type {type(completion).__name__}")
        with session.in_use():
            tokens = self.tokenize_prompt(prompt, **options)
            wanted = session.model.tokenize(completion, after="text")
            check_length(session, len(tokens), len(wanted))
            return score_tokens(session, tokens, wanted, self.applied(adapter_scale))

    def tokenize_prompt(
        self,
        prompt: str | None = None,
        *,
        thinking: bool = False,
        **options: Unpack[PromptOptions],
    ) -> list[int]:
        """The token ids that `generate` would compute for these arguments."""
        session = self._open_session()
        check_types({**options, "prompt": prompt, "thinking": thinking})
        with session.in_use():
            return self._builder.prompt_tokens(prompt, thinking=thinking, **options)

    def applied(self, scale: float = 1.0) -> Applied:
        """The adapter and its scale as the session applies them.

        Nothing for scale 0, the base alone, and for a variant, which is merged. Raises
        ValueError for another scale of a variant, and for one that is no finite number.
        """
        if not math.isfinite(scale):
            raise ValueError(f"adapter_scale={scale}: must be a finite number")
        if self._adapter is None:
            if scale != 1.0:
                raise ValueError(
                    f"adapter_scale={scale}: a variant is merged and has no scale; "
                    "load the expert with adapter_mode='lora'"
                )
            return ()
        return ((self._adapter, float(scale)),) if scale else ()

    def save_state(self, path: str | os.PathLike[str]) -> int:
        """Write the KV cache of this expert's last prompt to a file.

        `load_state` takes it in another process, which then need not compute that prefix
        again. Returns how many tokens it holds. Raises InferenceError if nothing is cached.
        """
        session = self._open_session()
        applied = self.applied()
        held = session.scheduler.call(lambda: session.scheduler.kv.latest(applied))
        if held is None:
            raise InferenceError(f"nothing of {self.manifest.identity} is in the KV cache")
        tokens, state = held
        write_kv_file(Path(path), self._state_identity(), tokens, state.data.tobytes())
        return len(tokens)

    def load_state(self, path: str | os.PathLike[str]) -> int:
        """Take a file of `save_state`: prompts that begin alike continue from it.

        Returns how many tokens it holds. Raises LoadError for a file of another model,
        expert, KV type or library version, and for a damaged one.
        """
        from .engine import KVState

        session = self._open_session()
        applied = self.applied()
        limit = session.options.parked_bytes
        tokens, data = read_kv_file(Path(path), self._state_identity(), limit)
        state = KVState.from_data(data)
        session.scheduler.call(lambda: session.scheduler.adopt(applied, tokens, state))
        return len(tokens)

    def _state_identity(self) -> dict[str, Any]:
        from .engine import library_version

        session = self._open_session()
        options = session.scheduler.kv.context.options
        identity = {
            "library": library_version(),
            "model": [self._cache.fingerprint(path) for path in self.prepared.files],
            "expert": self.manifest.identity,
            "package": self.package.digest,
            "adapter": self.prepared.entry.key if self.prepared.lora else None,
            "kv_type": options.kv_type,
            "flash_attention": options.flash_attention,
        }
        if (above := session.model.long_rope_above) is not None:
            identity["long_rope"] = session.n_ctx > above
        return identity

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

    def __reduce_ex__(self, _protocol: SupportsIndex) -> NoReturn:
        raise no_copy(self)

    @property
    def memory(self) -> int:
        """Bytes that this expert takes beside its base: an adapter, or a variant's own tensors."""
        return self.prepared.size

    def open_base(self) -> Session:
        """A session of the base model alone, with this expert's options; `release` it."""
        session = self._open_session()
        return open_session(
            [self.base.path], session.model.device, session.options, digest=self._cache.fingerprint
        )

    @property
    def session(self) -> Session:
        """The model and context that this expert runs on. Raises InferenceError once closed."""
        return self._open_session()

    def __enter__(self) -> Expert:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._session is None else f"on {self.base.path.name}"
        return f"<Expert {self.manifest.identity} {state}>"

    def _open_session(self) -> Session:
        if self._session is None:
            raise InferenceError(f"the expert {self.manifest.identity} was closed; load it again")
        return self._session


def checked(
    outcomes: list[InferenceResult | Exception], return_exceptions: bool
) -> list[InferenceResult | Exception]:
    """The outcomes of a batch; raises the first exception in it unless they are asked for."""
    failed = next((one for one in outcomes if isinstance(one, Exception)), None)
    if failed is not None and not return_exceptions:
        raise failed
    return outcomes

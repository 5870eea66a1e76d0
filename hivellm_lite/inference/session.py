"""One loaded base model with its context, used by any number of experts.

A session is shared by all who ask for the same files, device and options, and freed
when the last of them gives it back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InferenceError
from ..lazy import lazy
from ..process.state import bookkeeping, calling_native, check_running, forget_on_fork, loading
from .kv_streams import DEFAULT_PARKED_BYTES
from .scheduler import Scheduler

if TYPE_CHECKING:
    from ..engine import Adapter, Applied, Context, ContextOptions, Model
    from ..gbnf.token_masks import TokenVocabulary

__all__ = ["Session", "SessionOptions", "open_session"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class SessionOptions:
    """How a model is computed with.

    ``max_streams``: sequences that are decoded together at most, 1 to 64.
    ``kv_positions``: positions of KV cache that they may take together; None is the
    larger of 8,192 and four times ``n_ctx``. ``parked_bytes``: host memory for the
    prefixes of idle experts. ``shared=False`` gives a context of one's own on the
    shared model: no swap ever, for a KV cache more.
    """

    context: ContextOptions
    max_streams: int = 16
    kv_positions: int | None = None
    parked_bytes: int = DEFAULT_PARKED_BYTES
    shared: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        if not 1 <= self.max_streams <= 64:
            raise ValueError(f"max_streams={self.max_streams}: must be from 1 to 64")
        if self.kv_positions is not None and self.kv_positions < 1:
            raise ValueError(f"kv_positions={self.kv_positions}: must be 1 or more")
        if self.parked_bytes < 0:
            raise ValueError(f"parked_bytes={self.parked_bytes}: must be 0 (none) or more")


@dataclass(frozen=True)
class _ModelKey:
    """What must be equal for two sessions to share a model in memory."""

    files: tuple[tuple[Path, int, int], ...]  # path, bytes, mtime in nanoseconds
    device: str


@dataclass(frozen=True)
class _Key:
    """What must be equal for two experts to share a session."""

    model: _ModelKey
    options: SessionOptions


class _Loaded:
    """A model in memory. ``n_sessions`` counts under `bookkeeping` those that use it.

    What frees a session's context runs later, on the thread that computed with it, and must
    not take `bookkeeping`; so the contexts that still exist are counted apart.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.n_sessions = 0
        self._n_contexts = 0
        self._counting = threading.RLock()
        forget_on_fork(self)

    def forget_other_threads(self) -> None:
        """In a forked child nobody else counts."""
        self._counting = threading.RLock()

    def add_context(self) -> None:
        with self._counting:
            self._n_contexts += 1

    def remove_context(self) -> None:
        """One context was freed; frees the model after the last."""
        with self._counting:
            self._n_contexts -= 1
            is_last = self._n_contexts == 0
        if is_last:
            self.model.close()


_models: dict[_ModelKey, _Loaded] = {}
_sessions: dict[_Key, Session] = {}
_being_loaded: dict[_ModelKey, threading.Event] = {}
"""Models that some thread loads at the moment, with what is set afterwards."""


def open_session(
    files: Sequence[Path],
    device: str,
    options: SessionOptions | ContextOptions,
    *,
    n_tensors: int | None = None,
    digest: Callable[[Path], str] | None = None,
    before_loading: Callable[[], None] = lambda: None,
) -> Session:
    """The session for these files of one model and these options; loads it if there is none.

    ``n_tensors``: how many tensors several files have together, if not as many as
    the first says. With ``digest`` (of a file's content) copies of a loaded model's files
    share that model; without it only the same files do. ``before_loading`` is called if
    a context must be made, and may raise.

    Only threads that want the same model wait for each other. Every call must be paired with
    `Session.release`; the last one frees the model.
    """
    if not isinstance(options, SessionOptions):
        options = SessionOptions(options)
    stats = [(path.resolve(), path.stat()) for path in files]
    marks = tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
    key = _Key(_known_copy(_ModelKey(marks, device), digest), options)
    while True:
        with bookkeeping:
            session = _sessions.get(key) if options.shared else None
            if session is not None:
                session.users += 1
                return session
            other = _being_loaded.get(key.model)
            if other is None:
                loaded = _models.get(key.model)
                if loaded is not None:
                    _use(loaded)  # it must not be freed meanwhile
                mine = _being_loaded[key.model] = threading.Event()
        if other is None:
            break
        other.wait()
    try:
        with loading():
            session = _load(key, loaded, files, n_tensors, before_loading)
    finally:
        with bookkeeping:
            if _being_loaded.get(key.model) is mine:
                del _being_loaded[key.model]
        mine.set()
    return session


def _load(
    key: _Key,
    loaded: _Loaded | None,
    files: Sequence[Path],
    n_tensors: int | None,
    before_loading: Callable[[], None],
) -> Session:
    """A new session on ``loaded``, of which one use is taken already, or on a model to load."""
    from ..engine import Model

    try:
        before_loading()
        if loaded is None:
            loaded = _Loaded(Model(files, device=key.model.device, n_tensors=n_tensors))
            _use(loaded)
        session = Session(key, loaded)
    except BaseException:
        if loaded is not None:
            _give_up(key.model, loaded)
            loaded.remove_context()
        raise
    with bookkeeping:
        _models[key.model] = loaded
        if key.options.shared:
            _sessions[key] = session
        session.users += 1
    return session


def _use(loaded: _Loaded) -> None:
    with bookkeeping:
        loaded.n_sessions += 1
        loaded.add_context()


def _give_up(key: _ModelKey, loaded: _Loaded) -> None:
    """One session less; nobody finds the model any more after the last."""
    with bookkeeping:
        loaded.n_sessions -= 1
        if loaded.n_sessions == 0 and _models.get(key) is loaded:
            del _models[key]


class _Loads:
    """In a forked child nobody loads what other threads of the parent were loading."""

    def forget_other_threads(self) -> None:
        _being_loaded.clear()


_loads = _Loads()
forget_on_fork(_loads)


def _known_copy(wanted: _ModelKey, digest: Callable[[Path], str] | None) -> _ModelKey:
    """The key of a loaded model with the same content, or ``wanted`` itself."""
    with bookkeeping:
        known_models = list(_models)
    if wanted in known_models or digest is None:
        return wanted
    sizes = [size for _, size, _ in wanted.files]
    for known in known_models:
        if (
            known.device == wanted.device
            and [size for _, size, _ in known.files] == sizes
            and all(
                digest(one) == digest(other)
                for (one, *_), (other, *_) in zip(known.files, wanted.files, strict=True)
            )
        ):
            return known
    return wanted


class Session:
    """See the module's docstring. Thread-safe."""

    def __init__(self, key: _Key, loaded: _Loaded) -> None:
        self.options = options = key.options
        self._key = key
        self._loaded = loaded
        self.model = model = loaded.model
        self.users = 0
        self.scheduler = Scheduler(
            model,
            options.context,
            max_streams=options.max_streams,
            kv_positions=options.kv_positions or max(8192, 4 * options.context.n_ctx),
            parked_bytes=options.parked_bytes,
        )

    @property
    def n_ctx(self) -> int:
        """Positions that one sequence may have."""
        return self.scheduler.n_ctx

    @lazy
    def vocabulary(self) -> TokenVocabulary:
        """The bytes of all tokens, for grammars."""
        from ..gbnf.token_masks import TokenVocabulary

        return TokenVocabulary(self.model.pieces)

    def compute(
        self,
        tokens: list[int],
        applied: Applied,
        n_logits: int,
        read: Callable[[Context, int], _T],
    ) -> _T:
        """Compute ``tokens`` and ``read`` the logits of the last ``n_logits`` of them.

        ``read(context, end)`` is called with the index of the last one's logits.
        """

        def work() -> _T:
            return read(*self.scheduler.borrow(applied, tokens, n_logits))

        return self.scheduler.call(work)

    @property
    def memory(self) -> int:
        """Bytes of the KV cache, as it is now, and of parked prefixes. Not of the weights."""
        kv = self.scheduler.kv
        return kv.context.kv_bytes + kv.counters.parked_bytes

    def stats(self) -> dict[str, Any]:
        """Counters of the scheduler and the KV cache since the model was loaded."""
        kv = self.scheduler.kv
        return {
            "model": str(self._key.model.files[0][0]),
            "weights_bytes": self.model.size,
            "memory_bytes": self.memory,
            "users": self.users,
            "streams": kv.context.n_streams,
            "positions_per_stream": kv.context.n_ctx,
            "requests": vars(self.scheduler.counters).copy(),
            "kv_cache": vars(kv.counters).copy(),
        }

    def retain(self) -> None:
        """One use more; pair it with `release`. Raises InferenceError once all gave theirs back."""
        with bookkeeping:
            if self.users <= 0:
                raise InferenceError("the model was closed meanwhile; load the expert again")
            self.users += 1

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """The model is not freed inside, whoever closes his expert on another thread.

        Whatever calls the model on a thread of the user's needs this.
        """
        self.retain()
        try:
            with calling_native():
                check_running()
                yield
        finally:
            self.release()

    def forget_adapter(self, adapter: Adapter) -> None:
        """End what is generated with ``adapter``, drop what was computed, and free it.

        Waits for the step that runs, unless this is a thread that computes.
        """
        self.scheduler.forget(adapter)

    def release(self) -> None:
        """Give one use back; frees the context and the model after the last.

        Waits for the step that runs, unless this is a thread that computes.
        """
        with bookkeeping:
            self.users -= 1
            if self.users > 0:
                return
            if _sessions.get(self._key) is self:
                del _sessions[self._key]
            _give_up(self._key.model, self._loaded)
        self.scheduler.close(self._loaded.remove_context)

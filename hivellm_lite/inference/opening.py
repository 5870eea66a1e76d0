"""Opens sessions, and shares them and their models among experts that need the same ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.options import ContextOptions
from ..process.state import bookkeeping, forget_on_fork, loading
from .options import SessionOptions

if TYPE_CHECKING:
    from ..engine import Model
    from .session import GiveUp, Session

__all__ = ["open_session"]


@dataclass(frozen=True)
class ModelKey:
    """What must be equal for two sessions to share a model in memory."""

    files: tuple[tuple[Path, int, int], ...]  # path, bytes, mtime in nanoseconds
    device: str


@dataclass(frozen=True)
class SessionKey:
    """What must be equal for two experts to share a session."""

    model: ModelKey
    options: SessionOptions


class LoadedModel:
    """A model in memory. ``n_sessions`` is the number of sessions that use it, under `bookkeeping`.

    A session's context is freed later, on the thread that computed with it, which must not take
    `bookkeeping`. So the contexts that still exist are counted separately.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.n_sessions = 0
        self._n_contexts = 0
        self._counting = threading.RLock()
        forget_on_fork(self)

    def forget_other_threads(self) -> None:
        """In a forked child no other thread holds the lock."""
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


models: dict[ModelKey, LoadedModel] = {}
"""Models in memory that sessions use."""

sessions: dict[SessionKey, Session] = {}
"""Sessions that can be shared."""

_being_loaded: dict[ModelKey, threading.Event] = {}
"""Models that a thread loads at the moment, each with an event that is set afterwards."""


def open_session(
    files: Sequence[Path],
    device: str,
    options: SessionOptions | ContextOptions,
    *,
    n_tensors: int | None = None,
    digest: Callable[[Path], str] | None = None,
    before_loading: Callable[[], None] = lambda: None,
    while_reading: Callable[[], object] | None = None,
) -> Session:
    """The session for a model's files and these options; loads the model if needed.

    ``n_tensors``: total number of tensors in a multi-part model, if it differs from the first
    part's count. With ``digest`` (of a file's content) copies of a loaded model's files
    share that model; without it only the same files do. ``before_loading`` is called if
    a context must be made, and may raise. ``while_reading`` is called on another thread while
    llama.cpp reads a model, which leaves Python idle.

    Only threads that want the same model wait for each other. Every call must be paired with
    `Session.release`; the last one frees the model.
    """
    if not isinstance(options, SessionOptions):
        options = SessionOptions(options)
    stats = [(path.resolve(), path.stat()) for path in files]
    marks = tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
    key = SessionKey(_known_copy(ModelKey(marks, device), digest), options)
    while True:
        with bookkeeping:
            session = sessions.get(key) if options.shared else None
            if session is not None:
                session.users += 1
                return session
            other = _being_loaded.get(key.model)
            if other is None:
                loaded = models.get(key.model)
                if loaded is not None:
                    _use(loaded)  # it must not be freed meanwhile
                mine = _being_loaded[key.model] = threading.Event()
        if other is None:
            break
        other.wait()
    try:
        with loading():
            session = _load(key, loaded, files, n_tensors, before_loading, while_reading)
    finally:
        with bookkeeping:
            if _being_loaded.get(key.model) is mine:
                del _being_loaded[key.model]
        mine.set()
    return session


def _load(
    key: SessionKey,
    loaded: LoadedModel | None,
    files: Sequence[Path],
    n_tensors: int | None,
    before_loading: Callable[[], None],
    while_reading: Callable[[], object] | None,
) -> Session:
    """A new session on ``loaded``, which the caller has counted as used, or on a new model."""
    from ..engine import Model  # loads llama.cpp

    try:
        before_loading()
        if loaded is None:
            model = Model(
                files, device=key.model.device, n_tensors=n_tensors, while_reading=while_reading
            )
            loaded = LoadedModel(model)
            _use(loaded)
        from .session import Session  # loads numpy, which `while_reading` may have done

        session = Session(loaded.model, key.model.files[0][0], key.options, _giving_up(key, loaded))
    except BaseException:
        if loaded is not None:
            _give_up(key.model, loaded)
            loaded.remove_context()
        raise
    with bookkeeping:
        models[key.model] = loaded
        if key.options.shared:
            sessions[key] = session
        session.users += 1
    return session


def _use(loaded: LoadedModel) -> None:
    with bookkeeping:
        loaded.n_sessions += 1
        loaded.add_context()


def _giving_up(key: SessionKey, loaded: LoadedModel) -> GiveUp:
    """What a session on ``loaded`` does after its last use."""

    def give_up(session: Session) -> Callable[[], object]:
        if sessions.get(key) is session:
            del sessions[key]
        _give_up(key.model, loaded)
        return loaded.remove_context

    return give_up


def _give_up(key: ModelKey, loaded: LoadedModel) -> None:
    """Count one session less; after the last one, the model can no longer be found."""
    with bookkeeping:
        loaded.n_sessions -= 1
        if loaded.n_sessions == 0 and models.get(key) is loaded:
            del models[key]


class _Loads:
    """In a forked child, the loads of the parent's other threads do not exist."""

    def forget_other_threads(self) -> None:
        _being_loaded.clear()


_loads = _Loads()
forget_on_fork(_loads)


def _known_copy(wanted: ModelKey, digest: Callable[[Path], str] | None) -> ModelKey:
    """The key of a loaded model with the same content, or ``wanted`` itself."""
    with bookkeeping:
        known_models = list(models)
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

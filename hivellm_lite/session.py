"""One loaded base model with one context, used by any number of experts in turn.

The only way to compute is `Session.advance`: "have the logits behind this token
list, under this adapter". What the KV cache already holds of that list under
the same adapter is kept, the rest is decoded. So two interleaved streams are
both right, merely slower, and nobody has to know what the other left behind.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InferenceError

if TYPE_CHECKING:
    from .engine import Adapter, Context, ContextOptions, Model

__all__ = ["Session", "open_session"]


@dataclass(frozen=True)
class _Key:
    """What must be equal for two experts to share a session."""

    files: tuple[tuple[Path, int, int], ...]  # path, bytes, mtime in nanoseconds
    device: str
    options: ContextOptions


_sessions: dict[_Key, Session] = {}
_registry_lock = threading.Lock()


def open_session(
    files: Sequence[Path], device: str, options: ContextOptions, *, n_tensors: int | None = None
) -> Session:
    """The session for these files of one model and these options; loads it if there is none.

    ``n_tensors``: how many tensors several files have together, if not as many as
    the first says.

    Every call must be paired with `Session.release`; the last one frees the model.
    """
    from .engine import Context, Model

    stats = [(path.resolve(), path.stat()) for path in files]
    marks = tuple((path, stat.st_size, stat.st_mtime_ns) for path, stat in stats)
    key = _Key(marks, device, options)
    with _registry_lock:
        session = _sessions.get(key)
        if session is None:
            model = Model(files, device=device, n_tensors=n_tensors)
            try:
                session = _sessions[key] = Session(key, model, Context(model, options))
            except BaseException:
                model.close()
                raise
        session.users += 1
        return session


class Session:
    """See the module's docstring. Thread-safe: `lock` is held for each step."""

    def __init__(self, key: _Key, model: Model, context: Context) -> None:
        self._key = key
        self.model = model
        self.context = context
        self.lock = threading.RLock()
        self.users = 0
        self._applied: tuple[Adapter | None, float] = (None, 1.0)
        self._cached: list[int] = []

    def release(self) -> None:
        """Give one use back; frees the model after the last."""
        with _registry_lock:
            self.users -= 1
            if self.users == 0:
                _sessions.pop(self._key, None)
                with self.lock:
                    self.model.close()

    def advance(
        self,
        tokens: list[int],
        adapter: Adapter | None,
        scale: float = 1.0,
        *,
        n_logits: int = 1,
    ) -> int:
        """Compute ``tokens`` under ``adapter``, so that the context has the logits of the
        last ``n_logits`` (at most ``context.n_outputs``) of them.

        Returns how many leading tokens were cached. The caller holds `lock`.
        """
        if not tokens:
            raise InferenceError("nothing to compute: the prompt has no tokens")
        if self._applied != (adapter, scale):
            self._forget()
            self.context.set_adapter(adapter, scale)
            self._applied = (adapter, scale)
        kept = _common_prefix(self._cached, tokens, len(tokens) - n_logits)
        if kept < len(self._cached):
            self.context.truncate(kept)
            del self._cached[kept:]
        place = kept
        while place < len(tokens):
            # the wanted logits must come out of one call, so the one before may be shorter
            fits = len(tokens) - place <= self.context.n_batch
            end = len(tokens) if fits else min(place + self.context.n_batch, len(tokens) - n_logits)
            chunk = tokens[place:end]
            try:
                self.context.decode(chunk, place, n_logits=n_logits if fits else 1)
            except BaseException:
                self._forget()  # how much of the batch was computed is unknown
                raise
            self._cached.extend(chunk)
            place = end
        return kept

    def forget_adapter(self, adapter: Adapter) -> None:
        """Drop what was computed under ``adapter``, and the adapter itself."""
        with self.lock:
            if self._applied[0] is adapter:
                self._forget()
                self._applied = (None, 1.0)
            adapter.close()

    def _forget(self) -> None:
        self.context.clear()
        self._cached.clear()


def _common_prefix(cached: list[int], tokens: list[int], limit: int) -> int:
    length = min(len(cached), limit)
    if cached[:length] == tokens[:length]:
        return length
    return next(i for i in range(length) if cached[i] != tokens[i])

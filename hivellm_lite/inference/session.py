"""One loaded base model with its context, used by any number of experts.

Experts with the same files, device and options share a session (`opening`). It is freed when the
last of them gives it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InferenceError
from ..gbnf.token_masks import TokenMasks
from ..lazy import lazy
from ..process.state import bookkeeping, calling_native, check_running
from .admission import Admission
from .kv_streams import DEFAULT_PARKED_BYTES
from .scheduler import Scheduler

if TYPE_CHECKING:
    from ..engine import Adapter, Applied, Context, ContextOptions, Model

__all__ = ["GiveUp", "Session", "SessionOptions"]

_T = TypeVar("_T")

GiveUp = Callable[["Session"], Callable[[], object]]
"""Forgets a session that nobody uses any more, under `bookkeeping`. Returns what frees its model
once its context is freed."""


@dataclass(frozen=True)
class SessionOptions:
    """How a model is computed with.

    ``max_streams``: sequences that are decoded together at most, 1 to 64.
    ``kv_positions``: positions of the KV cache for all sequences together; None is the
    larger of 8,192 and four times ``n_ctx``. ``parked_bytes``: host memory for the
    prefixes of idle experts. ``shared=False`` makes a separate context on the shared
    model: adapters are never swapped, at the cost of one more KV cache.
    """

    context: ContextOptions
    max_streams: int = 16
    kv_positions: int | None = None
    parked_bytes: int = DEFAULT_PARKED_BYTES
    shared: bool = True

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not 1 <= self.max_streams <= 64:
            raise ValueError(f"max_streams={self.max_streams}: must be from 1 to 64")
        if self.kv_positions is not None and self.kv_positions < 1:
            raise ValueError(f"kv_positions={self.kv_positions}: must be 1 or more")
        if self.parked_bytes < 0:
            raise ValueError(f"parked_bytes={self.parked_bytes}: must be 0 (none) or more")


class Session:
    """See the module's docstring. Thread-safe."""

    def __init__(self, model: Model, path: Path, options: SessionOptions, give_up: GiveUp) -> None:
        """``path`` names the model. ``give_up`` is called after the last use, see `GiveUp`."""
        self.options = options
        self.model = model
        self.users = 0
        self._path = path
        self._give_up = give_up
        admission = Admission(
            model,
            options.context,
            max_streams=options.max_streams,
            kv_positions=options.kv_positions or max(8192, 4 * options.context.n_ctx),
            parked_bytes=options.parked_bytes,
        )
        self.scheduler = Scheduler(model, admission)

    @property
    def n_ctx(self) -> int:
        """Positions that one sequence may have."""
        return self.scheduler.n_ctx

    @lazy
    def token_masks(self) -> TokenMasks:
        """The bytes of all tokens, for grammars."""
        return TokenMasks(self.model.pieces)

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
        return self.scheduler.compute(tokens, applied, n_logits, read)

    @property
    def memory(self) -> int:
        """Bytes of the KV cache at its present size and of parked prefixes, without weights."""
        kv = self.scheduler.kv
        return kv.context.kv_bytes + kv.counters.parked_bytes

    def stats(self) -> dict[str, Any]:
        """Counters of the scheduler and the KV cache since the model was loaded."""
        kv = self.scheduler.kv
        return {
            "model": str(self._path),
            "weights_bytes": self.model.size,
            "memory_bytes": self.memory,
            "users": self.users,
            "streams": kv.context.n_streams,
            "positions_per_stream": kv.context.n_ctx,
            "requests": vars(self.scheduler.counters),
            "kv_cache": vars(kv.counters).copy(),
        }

    def retain(self) -> None:
        """Count one more use; pair it with `release`. Raises InferenceError once it was freed."""
        with bookkeeping:
            if self.users <= 0:
                raise InferenceError("the model was closed meanwhile; load the expert again")
            self.users += 1

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the model loaded inside, even if another thread closes its expert.

        Every call of the model on a user's thread needs this.
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
            free_model = self._give_up(self)
        self.scheduler.close(free_model)

"""One loaded base model with its context, used by any number of experts.

Experts with the same files, device and options share a session (`opening`). It is freed when the
last of them gives it back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import InferenceError
from ..gbnf.token_masks import TokenMasks
from ..lazy import lazy
from ..process.state import bookkeeping, calling_native, check_running
from .options import SessionOptions
from .scheduler import Scheduler

if TYPE_CHECKING:
    from ..engine import Adapter, Applied, Context, Model
    from .lane import Lane

__all__ = ["GiveUp", "Session"]

_T = TypeVar("_T")

GiveUp = Callable[["Session"], Callable[[], object]]
"""Forgets a session that nobody uses any more, under `bookkeeping`. Returns what frees its model
once its context is freed."""


class Session:
    """See the module's docstring. Thread-safe."""

    def __init__(self, model: Model, path: Path, options: SessionOptions, give_up: GiveUp) -> None:
        """``path`` names the model. ``give_up`` is called after the last use, see `GiveUp`."""
        self.options = options
        self.model = model
        self.users = 0
        self._path = path
        self._give_up = give_up
        self.scheduler = Scheduler(model, options)

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
    def shared_memory(self) -> int:
        """Bytes of the shared KV cache at its present size and of parked prefixes, without weights
        and without the contexts of single experts' own.
        """
        lanes = self.scheduler.lanes
        return lanes.shared.admission.kv.context.kv_bytes + lanes.parked.n_bytes

    @property
    def memory(self) -> int:
        """`shared_memory`, and that of the own contexts."""
        return self.shared_memory + self.scheduler.lanes.own_memory

    def stats(self) -> dict[str, Any]:
        """Counters of the scheduler and the KV cache since the model was loaded."""
        lanes = self.scheduler.lanes
        kv = lanes.shared.admission.kv
        counters = [vars(lane.admission.kv.counters) for lane in lanes]
        return {
            "model": str(self._path),
            "weights_bytes": self.model.size,
            "memory_bytes": self.memory,
            "users": self.users,
            "streams": kv.context.n_streams,
            "positions_per_stream": kv.context.n_ctx,
            "requests": vars(self.scheduler.counters),
            "kv_cache": {
                name: sum(one[name] for one in counters) if name in KV_SUMS else counters[0][name]
                for name in counters[0]
            },
            "own_contexts": [_own_context(lane) for lane in lanes if lane.owner is not None],
            "residency": {
                "limit_bytes": lanes.own_limit,
                "made": lanes.n_made,
                "given_up": lanes.n_given_up,
                "overlaps": lanes.overlaps,
                "swap_seconds": lanes.shared.costs.swap,
                "step_seconds": lanes.shared.costs.step,
                "explanation": lanes.describe(),
            },
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


KV_SUMS = frozenset({"restored", "copied", "parked"})
"""Counters of each context; the other ones are of what all contexts share."""


def _own_context(lane: Lane) -> dict[str, Any]:
    context = lane.admission.kv.context
    return {
        "expert": ", ".join(adapter.name for adapter, _ in lane.owner or ()) or "base",
        "streams": context.n_streams,
        "positions_per_stream": context.n_ctx,
        "memory_bytes": lane.memory,
        "steps": lane.computation.n_calls,
        "active": len(lane.admission.active),
    }

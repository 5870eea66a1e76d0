"""How a model is computed with, known without loading llama.cpp."""

from __future__ import annotations

from dataclasses import dataclass

from ..engine.options import ContextOptions
from .parked import DEFAULT_PARKED_BYTES

__all__ = ["SessionOptions"]


@dataclass(frozen=True)
class SessionOptions:
    """How a model is computed with.

    ``max_streams``: sequences that one context decodes together at most, 1 to 64.
    ``kv_positions``: positions of a context's KV cache for all sequences together; None is the
    larger of 8,192 and four times ``n_ctx``. ``parked_bytes``: host memory for the
    prefixes of idle experts. ``own_context_bytes``: memory for contexts of single experts' own;
    None leaves it to `lanes.Lanes`. ``shared=False`` makes a separate session on the shared
    model: adapters are never swapped, at the cost of one more KV cache.
    """

    context: ContextOptions
    max_streams: int = 16
    kv_positions: int | None = None
    parked_bytes: int = DEFAULT_PARKED_BYTES
    own_context_bytes: int | None = None
    shared: bool = True

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not 1 <= self.max_streams <= 64:
            raise ValueError(f"max_streams={self.max_streams}: must be from 1 to 64")
        if self.kv_positions is not None and self.kv_positions < 1:
            raise ValueError(f"kv_positions={self.kv_positions}: must be 1 or more")
        if self.parked_bytes < 0:
            raise ValueError(f"parked_bytes={self.parked_bytes}: must be 0 (none) or more")
        if self.own_context_bytes is not None and self.own_context_bytes < 0:
            raise ValueError(
                f"own_context_bytes={self.own_context_bytes}: must be 0 (none) or more"
            )

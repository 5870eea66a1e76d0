"""What a decode computes, known without loading llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Row"]


@dataclass(frozen=True)
class Row:
    """Tokens to compute in one stream, from ``position`` on.

    The logits of the last ``n_logits`` of them are kept; 0 keeps none. The tokens are all virtual
    (`VirtualToken`) or all ordinary.
    """

    stream: int
    position: int
    tokens: Sequence[int]
    n_logits: int = 1

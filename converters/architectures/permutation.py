"""The row order that llama.cpp wants for rotary position embeddings in Llama graphs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["rotary_order"]


def rotary_order(n_rows: int, n_heads: int) -> npt.NDArray[np.intp]:
    """The source row of each output row, (n_rows,): the two halves of a head are interleaved.

    Source: ``permute`` of llama.cpp's conversion/llama.py.
    """
    halves = np.arange(n_rows, dtype=np.intp).reshape(n_heads, 2, n_rows // n_heads // 2)
    order: npt.NDArray[np.intp] = halves.swapaxes(1, 2).reshape(n_rows)
    return order

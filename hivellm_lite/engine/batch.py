"""The input of one decode: rows of tokens or of virtual tokens, as llama.cpp takes them."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ContextLengthError, InferenceError
from .native import llama
from .rows import Row
from .virtual_tokens import embeddings_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Batch", "Filled"]


@dataclass(frozen=True)
class Filled:
    """A batch for one decode, until the next `Batch.fill`.

    ``ends``: for each row, the index of its last token. ``held`` are arrays that ``native``, a
    ``llama_batch``, points to.
    """

    native: Any
    n_tokens: int
    ends: list[int]
    held: tuple[NDArray[Any], ...] = ()

    @property
    def n_held(self) -> int:
        """Bytes of embeddings and their positions."""
        return sum(array.nbytes for array in self.held)


class Batch:
    """Memory for a batch of ``size`` tokens.

    ``n_embd``: numbers of an embedding; ``n_positions``: dimensions of its position. A batch of
    llama.cpp takes either ids or embeddings.
    """

    def __init__(self, size: int, n_embd: int, n_positions: int) -> None:
        self._native = native = llama.llama_batch_init(size, 0, 1)
        weakref.finalize(self, llama.llama_batch_free, native)
        self._n_embd = n_embd
        self._n_positions = n_positions
        self._tokens = np.ctypeslib.as_array(native.token, (size,))
        self._positions = np.ctypeslib.as_array(native.pos, (size,))
        self._wants_logits = np.ctypeslib.as_array(native.logits, (size,))
        np.ctypeslib.as_array(native.n_seq_id, (size,))[:] = 1

    def fill(self, rows: Sequence[Row], n_ctx: int) -> Filled:
        """The rows, which are all of tokens or all of virtual tokens.

        Raises ContextLengthError when a row does not fit a stream of ``n_ctx`` positions, and
        InferenceError for embeddings of another width.
        """
        native, place, ends = self._native, 0, []
        embeddings = self._embeddings(rows)
        for row in rows:
            n, end = len(row.tokens), place + len(row.tokens)
            if row.position + n > n_ctx:
                raise ContextLengthError(f"position {row.position + n} is beyond n_ctx={n_ctx}")
            if embeddings is None:
                self._tokens[place:end] = row.tokens
            self._positions[place:end] = np.arange(row.position, row.position + n)
            self._wants_logits[place:end] = False
            self._wants_logits[end - row.n_logits : end] = True
            for index in range(place, end):
                native.seq_id[index][0] = row.stream
            ends.append(end - 1)
            place = end
        native.n_tokens = place
        if embeddings is None:
            return Filled(native, place, ends)
        positions = self._several_positions(place)
        numbers = embeddings.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        places = positions.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        rest = (native.n_seq_id, native.seq_id, native.logits)
        virtual = llama.llama_batch(place, None, numbers, places, *rest)
        return Filled(virtual, place, ends, (embeddings, positions))

    def _embeddings(self, rows: Sequence[Row]) -> NDArray[np.float32] | None:
        """What virtual tokens are computed from, shape (tokens, n_embd); None for tokens."""
        if all(row.tokens[0] >= 0 for row in rows):
            return None
        embeddings = embeddings_of([token for row in rows for token in row.tokens])
        if embeddings.shape[1] != self._n_embd:
            raise InferenceError(
                f"a soft prompt has rows of {embeddings.shape[1]} numbers; this base has "
                f"embeddings of {self._n_embd}"
            )
        return embeddings

    def _several_positions(self, n: int) -> NDArray[np.int32]:
        """The positions of ``n`` embeddings, shape (dimensions, n).

        llama.cpp takes every dimension of an embedding's position. Of a text they are equal, but
        for the last, which is 0.
        """
        positions = np.tile(self._positions[:n], (self._n_positions, 1))
        if self._n_positions > 1:
            positions[-1] = 0
        return positions

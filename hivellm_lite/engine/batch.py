"""The input of one decode: rows of tokens or of virtual tokens, as llama.cpp takes them."""

from __future__ import annotations

import ctypes
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

    ``ends``: for each row, the index of its last token. ``n_outputs``: tokens that give logits.
    ``held`` are arrays that ``native``, a ``llama_batch``, points to.
    """

    native: Any
    n_tokens: int
    n_outputs: int
    ends: list[int]
    held: tuple[NDArray[Any], ...] = ()

    @property
    def n_held(self) -> int:
        """Bytes of embeddings and their positions."""
        return sum(array.nbytes for array in self.held)


class Batch:
    """Memory for a batch of ``size`` tokens, each of which belongs to one stream.

    ``n_embd``: numbers of an embedding; ``n_positions``: dimensions of its position. A batch of
    llama.cpp takes either ids or embeddings.
    """

    def __init__(self, size: int, n_embd: int, n_positions: int) -> None:
        self._n_embd = n_embd
        self._n_positions = n_positions
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._streams = np.zeros(size, np.int32)
        self._n_streams = np.ones(size, np.int32)
        self._wants_logits = np.zeros(size, np.int8)
        # llama.cpp takes, for each token, the address of a list of streams
        address = self._streams.ctypes.data
        self._places = address + 4 * np.arange(size, dtype=np.uintp)
        self._rest = (
            _pointer(self._n_streams, ctypes.c_int32),
            _pointer(self._places, ctypes.POINTER(ctypes.c_int32)),
            _pointer(self._wants_logits, ctypes.c_int8),
        )
        ids = _pointer(self._tokens, ctypes.c_int32)
        self._native = llama.llama_batch(
            0, ids, None, _pointer(self._positions, ctypes.c_int32), *self._rest
        )

    def fill(self, rows: Sequence[Row], n_ctx: int) -> Filled:
        """The rows, which are all of tokens or all of virtual tokens.

        Raises ContextLengthError when a row does not fit a stream of ``n_ctx`` positions, and
        InferenceError for embeddings of another width.
        """
        embeddings = self._embeddings(rows)
        # lists that are written at once: an array for each row would take longer than the row
        tokens: list[int] = []
        positions: list[int] = []
        streams: list[int] = []
        wants: list[bool] = []
        ends = []
        for row in rows:
            n = len(row.tokens)
            if row.position + n > n_ctx:
                raise ContextLengthError(f"position {row.position + n} is beyond n_ctx={n_ctx}")
            tokens += row.tokens
            positions += range(row.position, row.position + n)
            streams += [row.stream] * n
            wants += [False] * (n - row.n_logits) + [True] * row.n_logits
            ends.append(len(tokens) - 1)
        n_tokens = len(tokens)
        self._positions[:n_tokens] = positions
        self._streams[:n_tokens] = streams
        self._wants_logits[:n_tokens] = wants
        if embeddings is None:
            self._tokens[:n_tokens] = tokens
            self._native.n_tokens = n_tokens
            return Filled(self._native, n_tokens, sum(wants), ends)
        several = self._several_positions(n_tokens)
        numbers = _pointer(embeddings, ctypes.c_float)
        places = _pointer(several, ctypes.c_int32)
        virtual = llama.llama_batch(n_tokens, None, numbers, places, *self._rest)
        return Filled(virtual, n_tokens, sum(wants), ends, (embeddings, several))

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


def _pointer(array: NDArray[Any], kind: Any) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(kind))

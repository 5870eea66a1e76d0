"""The KV cache of one sequence in host memory, for contexts of any number of streams.

llama.cpp writes a sequence's state as

    magic u32 │ sequence i32 │ streams u32 │ for each stream: cells u32, and if not 0 the data

and reads it only into a context with as many streams. Only the sequence's own stream
has cells, so the state is the same for any number of streams but for zeros before and
after its data. The data stays where it was written; the frame around it is changed in
place.

Source: ``llama_context::state_seq_get_data`` (src/llama-context.cpp) and
``llama_kv_cache::state_write`` (src/llama-kv-cache.cpp). Caches with a sliding window
have two such parts and drop cells; they are not taken here.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InferenceError, LoadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_STREAMS", "KVState"]

MAX_STREAMS = 256
"""llama.cpp's own limit (``LLAMA_MAX_SEQ``)."""

MAX_LAYERS = 512
"""llama.cpp's own limit (``LLAMA_MAX_LAYERS``)."""

_WORD = 4
_HEADER = 3 * _WORD
_MAGIC = 0xAF143CD8

_CELL = 3
"""Words of a cell: position, number of sequences, the sequence."""

_CELL_EXTENSION = 3
"""Words that models with positions of several dimensions add."""


class KVState:
    """Keys and values of one sequence. ``data`` are the bytes between the frame's parts."""

    def __init__(self, buffer: NDArray[np.uint8], start: int, end: int) -> None:
        self._buffer = buffer
        self._start = start
        self._end = end

    @classmethod
    def from_data(cls, data: bytes) -> KVState:
        """The state whose ``data`` was these bytes."""
        buffer = np.zeros(_HEADER + len(data) + MAX_STREAMS * _WORD, np.uint8)
        buffer[_HEADER : _HEADER + len(data)] = np.frombuffer(data, np.uint8)
        return cls(buffer, _HEADER, _HEADER + len(data))

    @classmethod
    def empty(cls, size: int) -> tuple[KVState, NDArray[np.uint8]]:
        """A state, and the buffer of ``size`` bytes for llama.cpp to write; see `unframe`."""
        buffer = np.empty(size + MAX_STREAMS * _WORD, np.uint8)
        return cls(buffer, 0, size), buffer[:size]

    def unframe(self, stream: int, n_streams: int) -> None:
        """Find the data in what llama.cpp wrote for ``stream`` of ``n_streams``.

        Raises InferenceError if the format is not the one that this module knows.
        """
        before, after = stream * _WORD, (n_streams - 1 - stream) * _WORD
        header = self._buffer[:_HEADER].view(np.uint32)
        start, end = self._start + _HEADER + before, self._end - after
        zeros = self._buffer[_HEADER:start], self._buffer[end : self._end]
        if header[0] != _MAGIC or header[2] != n_streams or any(part.any() for part in zeros):
            raise InferenceError("this llama.cpp writes KV caches in a format that is not known")
        self._start, self._end = start, end

    def framed(self, n_streams: int) -> NDArray[np.uint8]:
        """The bytes to give to a context of ``n_streams`` streams; valid until the next call."""
        start, end = self._start - _HEADER, self._end + (n_streams - 1) * _WORD
        # the place of the header need not be aligned for words
        self._buffer[start : self._start] = np.frombuffer(
            np.array([_MAGIC, 0, n_streams], np.uint32).tobytes(), np.uint8
        )
        self._buffer[self._end : end] = 0
        return self._buffer[start:end]

    def check(self, n_tokens: int) -> None:
        """Raise LoadError unless this is a state of ``n_tokens`` from position 0 on.

        llama.cpp itself checks types and the numbers of layers and rows, but accepts any positions.
        A position at the end of the range could never be removed again.
        """
        problem = self._problem(n_tokens)
        if problem:
            raise LoadError(f"a saved state {problem}; it is damaged")

    def _problem(self, n_tokens: int) -> str:
        words = self.data[: len(self.data) // _WORD * _WORD].copy().view(np.int32)
        if len(words) < 1 or words[0] != n_tokens:
            n_cells = words[0] if len(words) else 0
            return f"of {n_tokens} tokens has {n_cells} positions"
        for n_columns in (_CELL, _CELL + _CELL_EXTENSION):
            cells = words[1 : 1 + n_tokens * n_columns]
            if len(cells) == n_tokens * n_columns:
                table = cells.reshape(n_tokens, n_columns)
                if (table[:, 0] == np.arange(n_tokens)).all() and (table[:, 1] == 1).all():
                    return self._tensor_problem(1 + n_tokens * n_columns, n_tokens)
        return f"of {n_tokens} tokens has other positions than 0 to {n_tokens - 1}"

    def _tensor_problem(self, n_words: int, n_tokens: int) -> str:
        """Whether keys and values end where the data ends."""
        data, place = self.data.data, n_words * _WORD
        problem = "has keys and values of another size than it says"
        if len(data) < place + 2 * _WORD:
            return problem
        transposed, n_layers = struct.unpack_from("<II", data, place)
        place += 2 * _WORD
        if transposed > 1 or n_layers > MAX_LAYERS:
            return problem
        for index in range(2 * n_layers):
            if place == len(data) and index >= n_layers:  # layers that share another's values
                return ""
            width = "<iII" if index >= n_layers and transposed else "<iQ"
            if len(data) < place + struct.calcsize(width):
                return problem
            _kind, *sizes = struct.unpack_from(width, data, place)
            place += struct.calcsize(width) + n_tokens * math.prod(sizes)
        return "" if place == len(data) else problem

    @property
    def data(self) -> NDArray[np.uint8]:
        return self._buffer[self._start : self._end]

    @property
    def nbytes(self) -> int:
        return self._buffer.nbytes

"""A context: the compute buffers of one model and a KV cache of several streams.

A stream holds one sequence. Streams do not see each other, and a decode takes rows
of several of them at once. llama.cpp computes rows of neighbouring streams together
and computes rows after a gap in another pass, so callers use neighbours.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InferenceError, OutOfMemoryError
from ..hardware import physical_cores
from ..process.memory_limits import require_memory, stack_bytes
from .batch import Batch, Filled
from .kv_state import KVState
from .native import Native, drop_log, flag_is_set, fresh_log, llama, reason
from .options import KV_TYPES, ContextOptions
from .rows import Row
from .sizes import GRAPH_BYTES, KV_BYTES, N_BATCH, N_OUTPUTS, N_UBATCH_SCORES, PAD

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .adapter import Applied
    from .model import Model

__all__ = ["Context", "InterruptedDecodeError"]


class InterruptedDecodeError(InferenceError):
    """`Context.interrupt` stopped a decode; its rows were not computed."""


class Context(Native):
    """KV cache and compute buffers on one model: ``n_streams`` sequences of ``n_ctx`` positions.

    Raises OutOfMemoryError before anything is allocated when KV cache and buffers do not fit
    the free memory or a limit of the process, and when llama.cpp cannot allocate them.
    """

    def __init__(self, model: Model, options: ContextOptions, n_streams: int = 1) -> None:
        options = options.on_device(cpu=model.on_cpu)
        wanted = -(-options.n_ctx // PAD) * PAD * n_streams  # llama.cpp rounds up, too
        kv_bytes = kv_cache_bytes(model, options) * n_streams
        self.require_memory(model, options, n_streams)
        threads = options.n_threads or physical_cores()
        params = llama.llama_context_default_params()
        params.n_ctx = wanted
        params.n_seq_max = n_streams
        params.kv_unified = False
        params.n_batch = params.n_ubatch = min(N_BATCH, wanted)
        if model.on_cpu and options.flash_attention is False:
            params.n_ubatch = min(N_UBATCH_SCORES, wanted)
        params.n_outputs_max = min(max(N_OUTPUTS, n_streams), params.n_batch)
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = KV_TYPES[options.kv_type]
        params.flash_attn_type = -1 if options.flash_attention is None else options.flash_attention
        for name, beta in model.yarn_betas.items():
            setattr(params, name, beta)
        params.no_perf = True
        with fresh_log(), model.reserving:
            pointer = llama.llama_init_from_model(model.pointer, params)
        if not pointer:
            raise OutOfMemoryError(
                f"llama.cpp cannot make a context of {wanted} positions "
                f"({kv_bytes / 1e6:.0f} MB of KV cache)\n{reason()}"
            )
        self._own(pointer, llama.llama_free, model)
        self.model = model
        self.options = options
        self.applied: Applied = ()
        self._decoded_with: Applied | None = None
        self._n_given = 0
        self.n_streams = n_streams
        self.n_ctx: int = llama.llama_n_ctx_seq(pointer)
        self.n_batch: int = params.n_batch
        self.n_ubatch: int = params.n_ubatch
        self.n_outputs: int = params.n_outputs_max
        self.n_threads = threads
        self.kv_bytes = int(kv_bytes)
        self.buffer_bytes = model.compute_bytes(
            self.n_ctx, n_streams, flash_attention=options.flash_attention is not False
        )
        self._batch = Batch(self.n_batch, model.n_embd, model.n_positions)
        self._interrupt = ctypes.create_string_buffer(2)
        llama.llama_set_abort_callback(
            pointer, flag_is_set(), ctypes.cast(self._interrupt, ctypes.c_void_p)
        )
        model.contexts.add(self)

    @staticmethod
    def require_memory(
        model: Model, options: ContextOptions, n_streams: int, *, freed: int = 0
    ) -> None:
        """Raise OutOfMemoryError if a context does not fit; ``freed`` bytes are given up for it."""
        if not model.on_cpu:
            return
        options = options.on_device(cpu=True)
        threads = options.n_threads or physical_cores()
        wanted = -(-options.n_ctx // PAD) * PAD
        kv_bytes = kv_cache_bytes(model, options) * n_streams
        what = (
            f"a context of {wanted * n_streams} positions ({kv_bytes / 1e6:.0f} MB of "
            f"{options.kv_type} KV cache)"
        )
        buffers = model.compute_bytes(
            wanted, n_streams, flash_attention=options.flash_attention is not False
        )
        require_memory(
            what,
            int(kv_bytes) + buffers - freed,
            # with what the first decode takes under other adapters
            reserved=buffers + 2 * GRAPH_BYTES + _RESERVE + threads * stack_bytes(),
            mapped=_ARENA_BYTES,
            advice="Use a smaller n_ctx, fewer max_streams, or kv_type='q8_0'.",
        )

    @staticmethod
    def bytes_for(model: Model, options: ContextOptions, n_streams: int) -> int:
        """Bytes that a context of this shape takes: its `memory`."""
        options = options.on_device(cpu=model.on_cpu)
        wanted = -(-options.n_ctx // PAD) * PAD
        buffers = model.compute_bytes(
            wanted, n_streams, flash_attention=options.flash_attention is not False
        )
        return int(kv_cache_bytes(model, replace(options, n_ctx=wanted)) * n_streams) + buffers

    @property
    def memory(self) -> int:
        """Bytes of the KV cache and of the buffers for computing, which are an estimate."""
        return self.kv_bytes + self.buffer_bytes

    def _require_for_decode(self, batch: Filled) -> None:
        """What llama.cpp takes in the middle of a decode, where a failure ends the process."""
        if not self.model.on_cpu:
            return
        # other adapters: llama.cpp makes its buffers anew before it frees the old ones
        anew = self.buffer_bytes + GRAPH_BYTES if self.applied != self._decoded_with else 0
        require_memory(
            f"the decode of {batch.n_tokens} tokens",
            0,
            reserved=anew + _RESERVE + _COPIES * batch.n_held + self.n_threads * stack_bytes(),
            process_only=True,
        )

    def apply(self, adapters: Applied) -> None:
        """Compute with these adapters from now on. Only streams that were computed under
        the same ones may be continued.
        """
        if adapters == self.applied:
            return
        if adapters:
            n = len(adapters)
            pointers = (adapter.pointer for adapter, _ in adapters)
            array = (llama.llama_adapter_lora_p_ctypes * n)(*pointers)
            scales = (ctypes.c_float * n)(*(scale for _, scale in adapters))
            code = llama.llama_set_adapters_lora(self.pointer, array, n, scales)
        else:
            code = llama.llama_set_adapters_lora(self.pointer, None, 0, None)
        if code != 0:
            raise InferenceError(f"llama.cpp cannot apply the adapter (code {code})")
        self.applied = adapters

    def let_go(self, other: Native) -> None:
        """Apply no adapter any more if ``other`` is one of those that apply."""
        if not self.closed and any(other is adapter for adapter, _ in self.applied):
            self.apply(())

    def decode(self, rows: Sequence[Row]) -> list[int]:
        """Compute the rows, at most `n_batch` tokens and `n_outputs` logits together.

        The rows are all of tokens or all of virtual tokens. Returns for each row the index, for
        `logits`, of its last token. Raises ContextLengthError when a row does not fit its stream,
        InterruptedDecodeError after `interrupt`, InferenceError when llama.cpp fails. After an
        error the rows' streams hold what they held before; those of a model that does not cut
        back (`Model.cuts_back`) are empty.
        """
        pointer = self.pointer  # raises when the context was closed
        batch = self._batch.fill(rows, self.n_ctx)
        self._require_for_decode(batch)
        with fresh_log(), self.model.adapting:
            code = llama.llama_decode(pointer, batch.native)
            if code == _ABORTED:
                drop_log()
        self._decoded_with = self.applied
        self._n_given = batch.n_outputs
        if code != 0:
            why = reason()
            for row in rows:
                self.truncate(row.stream, row.position if self.model.cuts_back else 0)
            if code == _ABORTED:
                raise InterruptedDecodeError("the decode was interrupted")
            raise InferenceError(
                f"llama.cpp failed to decode {batch.n_tokens} tokens (code {code})\n{why}"
            )
        return batch.ends

    def wait(self) -> None:
        """Wait until all decodes are computed.

        On a CPU `decode` returns when it is computed. Other devices may compute on after it
        returned, and reading logits or states waits for them, too.
        """
        llama.llama_synchronize(self.pointer)

    def interrupt(self) -> None:
        """Stop the decode that runs in another thread, or the next one, until `resume`.

        Takes effect between two operations of the graph on the CPU; other devices finish
        what they were given. A model that does not cut back could not go on afterwards, and is
        not interrupted.
        """
        if not self.model.cuts_back:
            return
        self._interrupt[0] = b"\x01"

    def resume(self) -> None:
        """Allow decoding again after `interrupt`."""
        self._interrupt[0] = b"\x00"

    def logits(self, index: int = -1) -> NDArray[np.float32]:
        """Logits, shape (n_vocab,), of the ``index``-th token of the last `decode`.

        A view that the next `decode` overwrites.
        """
        pointer = llama.llama_get_logits_ith(self.pointer, index)
        return np.ctypeslib.as_array(pointer, (self.model.n_vocab,))

    def logits_of(self, rows: Sequence[int]) -> list[NDArray[np.float32]]:
        """Logits, each of shape (n_vocab,), of rows of the last `decode` by their number among the
        tokens that gave logits. Views that the next `decode` overwrites.
        """
        pointer = llama.llama_get_logits(self.pointer)
        block = np.ctypeslib.as_array(pointer, (self._n_given, self.model.n_vocab))
        return [block[row] for row in rows]

    @property
    def _memory(self) -> Any:
        return llama.llama_get_memory(self.pointer)  # raises when the context was closed

    def truncate(self, stream: int, n_keep: int) -> None:
        """Forget all positions of a stream from ``n_keep`` on.

        A model that does not cut back (`Model.cuts_back`) forgets all or nothing.
        """
        if not llama.llama_memory_seq_rm(self._memory, stream, n_keep, -1):
            raise InferenceError("this model's memory cannot be cut back")

    def n_positions(self, stream: int) -> int:
        """How many positions a stream holds."""
        return int(llama.llama_memory_seq_pos_max(self._memory, stream)) + 1

    def read_state(self, stream: int) -> KVState:
        """The KV cache of one stream, for `write_state` of any context of the same model, KV
        type and flash attention.

        Not for models with a sliding window (`Model.sliding_window`).
        """
        size = llama.llama_state_seq_get_size(self.pointer, stream)
        try:
            state, buffer = KVState.empty(size)
        except MemoryError:
            raise OutOfMemoryError(
                f"memory does not hold a copy of a KV cache of {size / 1e6:.0f} MB"
            ) from None
        written = llama.llama_state_seq_get_data(self.pointer, _bytes_of(buffer), size, stream)
        if written != size:
            raise InferenceError(f"llama.cpp wrote {written} of {size} bytes of a KV cache")
        state.unframe(stream, self.n_streams)
        return state

    def write_state(self, stream: int, state: KVState) -> None:
        """Replace what a stream holds by what `read_state` returned.

        Raises InferenceError, with the stream empty, where llama.cpp refuses it.
        """
        self.truncate(stream, 0)
        data = state.framed(self.n_streams)
        with fresh_log():
            read = llama.llama_state_seq_set_data(self.pointer, _bytes_of(data), data.size, stream)
        if read != data.size:
            why = reason()
            self.truncate(stream, 0)
            raise InferenceError(f"llama.cpp refuses a saved KV cache\n{why}")


_ARENA_BYTES = 128 << 20
"""Address space that the C library may set aside for threads that compute."""

_RESERVE = 16 << 20
"""Bytes for lists and the like."""

_COPIES = 4
"""Times that llama.cpp holds the embeddings of a batch: in the batch, its parts and the graph."""

_ABORTED = 2
"""``llama_decode``'s code for a decode that the abort callback stopped."""


def kv_cache_bytes(model: Model, options: ContextOptions) -> float:
    """Bytes of the KV cache of one stream, and of its recurrent state."""
    sizes = model.cache_sizes
    positions = sizes.values_per_position * KV_BYTES[options.kv_type] * options.n_ctx
    return positions + sizes.state_bytes


def _bytes_of(array: NDArray[np.uint8]) -> Any:
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))

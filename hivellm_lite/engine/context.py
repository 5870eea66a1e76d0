"""A context: the KV cache and compute buffers of one sequence on one model."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ContextLengthError, InferenceError, OutOfMemoryError
from ..hardware import available_memory, physical_cores
from .devices import select_devices
from .native import Native, fresh_log, llama, reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .model import Adapter, Model

__all__ = ["KV_TYPES", "Context", "ContextOptions"]

N_BATCH = 512
"""Tokens of a prompt that are decoded in one call, and so between two looks at Ctrl-C."""

N_OUTPUTS = 64
"""Positions of one call that may give logits. llama.cpp reserves this many rows
of the vocabulary's size: 512 of them would cost 311 MB for Qwen3, 64 cost 39."""

KV_TYPES = {"f32": 0, "f16": 1, "bf16": 30, "q8_0": 8}
"""Types of the KV cache that are offered, with their ggml type numbers."""

_KV_BYTES = {"f32": 4.0, "f16": 2.0, "bf16": 2.0, "q8_0": 34 / 32}


@dataclass(frozen=True)
class ContextOptions:
    """Size and numerics of a context.

    ``n_ctx``: positions. ``n_threads``: None for the physical cores.
    ``kv_type``: one of ``f32 f16 bf16 q8_0``. ``flash_attention``: None lets
    llama.cpp choose.
    """

    n_ctx: int = 2048
    n_threads: int | None = None
    kv_type: str = "f16"
    flash_attention: bool | None = None

    def __post_init__(self) -> None:
        """Refuse values that llama.cpp would answer with an abort."""
        if not 1 <= self.n_ctx <= 1 << 24:
            raise ValueError(f"n_ctx={self.n_ctx}: must be from 1 to {1 << 24} positions")
        if self.n_threads is not None and not 1 <= self.n_threads <= 512:
            raise ValueError(f"n_threads={self.n_threads}: must be from 1 to 512")
        if self.kv_type not in KV_TYPES:
            raise ValueError(f"kv_type={self.kv_type!r}: must be one of {', '.join(KV_TYPES)}")
        if self.kv_type == "q8_0" and self.flash_attention is False:
            raise ValueError(
                "kv_type='q8_0' needs flash attention: a quantised V cache has no other"
            )


class Context(Native):
    """KV cache and compute buffers for one sequence on one model.

    Raises OutOfMemoryError before anything is allocated when the KV cache
    does not fit the free memory, and when llama.cpp cannot allocate it.
    """

    def __init__(self, model: Model, options: ContextOptions) -> None:
        kv_bytes = model.kv_values_per_token() * _KV_BYTES[options.kv_type] * options.n_ctx
        free = available_memory()
        if free is not None and kv_bytes > free and (select_devices(model.device) or []) == []:
            raise OutOfMemoryError(
                f"a context of {options.n_ctx} positions needs {kv_bytes / 1e6:.0f} MB for its "
                f"{options.kv_type} KV cache; {free / 1e6:.0f} MB of memory are free\n"
                "Use a smaller n_ctx, or kv_type='q8_0'."
            )
        threads = options.n_threads or physical_cores()
        params = llama.llama_context_default_params()
        params.n_ctx = options.n_ctx
        params.n_batch = params.n_ubatch = min(N_BATCH, options.n_ctx)
        params.n_outputs_max = min(N_OUTPUTS, params.n_batch)
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = KV_TYPES[options.kv_type]
        params.flash_attn_type = -1 if options.flash_attention is None else options.flash_attention
        params.no_perf = True
        with fresh_log():
            pointer = llama.llama_init_from_model(model.pointer, params)
        if not pointer:
            raise OutOfMemoryError(
                f"llama.cpp cannot make a context of {options.n_ctx} positions "
                f"({kv_bytes / 1e6:.0f} MB of KV cache)\n{reason()}"
            )
        self._own(pointer, llama.llama_free)
        self.model = model
        self.adapter: Adapter | None = None
        self.n_ctx: int = llama.llama_n_ctx(pointer)
        self.n_batch: int = params.n_batch
        self.n_outputs: int = params.n_outputs_max
        self.n_threads = threads
        self._memory = llama.llama_get_memory(pointer)
        self._own_batch()
        model.contexts.add(self)

    def _own_batch(self) -> None:
        self._batch = batch = llama.llama_batch_init(self.n_batch, 0, 1)
        weakref.finalize(self, llama.llama_batch_free, batch)
        size = (self.n_batch,)
        self._tokens = np.ctypeslib.as_array(batch.token, size)
        self._positions = np.ctypeslib.as_array(batch.pos, size)
        self._wants_logits = np.ctypeslib.as_array(batch.logits, size)
        np.ctypeslib.as_array(batch.n_seq_id, size)[:] = 1
        for index in range(self.n_batch):
            batch.seq_id[index][0] = 0

    def set_adapter(self, adapter: Adapter | None, scale: float = 1.0) -> None:
        """Apply this adapter alone, or none. The caller clears the KV cache: what was
        computed under another adapter or scale is not valid under this one.
        """
        if adapter is None:
            code = llama.llama_set_adapters_lora(self.pointer, None, 0, None)
        else:
            array = (llama.llama_adapter_lora_p_ctypes * 1)(adapter.pointer)
            code = llama.llama_set_adapters_lora(
                self.pointer, array, 1, (ctypes.c_float * 1)(scale)
            )
        if code != 0:
            raise InferenceError(f"llama.cpp cannot apply the adapter (code {code})")
        self.adapter = adapter

    def decode(self, tokens: Sequence[int], position: int, *, n_logits: int = 1) -> None:
        """Compute ``tokens`` at ``position``, ``position + 1`` …, at most `n_batch` of them.

        Keeps the logits of the last ``n_logits`` of them, at most `n_outputs`.

        Raises ContextLengthError when they do not fit, InferenceError when
        llama.cpp fails.
        """
        n = len(tokens)
        if position + n > self.n_ctx:
            raise ContextLengthError(f"position {position + n} is beyond n_ctx={self.n_ctx}")
        self._tokens[:n] = tokens
        self._positions[:n] = np.arange(position, position + n)
        self._wants_logits[:n] = False
        self._wants_logits[n - n_logits : n] = True
        self._batch.n_tokens = n
        with fresh_log():
            code = llama.llama_decode(self.pointer, self._batch)
        if code != 0:
            raise InferenceError(
                f"llama.cpp failed to decode {n} tokens at position {position} (code {code})\n"
                f"{reason()}"
            )

    def logits(self, index: int = -1) -> NDArray[np.float32]:
        """Logits, shape (n_vocab,), of the ``index``-th token of the last `decode`.

        A view that the next `decode` overwrites.
        """
        pointer = llama.llama_get_logits_ith(self.pointer, index)
        return np.ctypeslib.as_array(pointer, (self.model.n_vocab,))

    def truncate(self, n_keep: int) -> None:
        """Forget all positions from ``n_keep`` on."""
        if not llama.llama_memory_seq_rm(self._memory, 0, n_keep, -1):
            raise InferenceError("this model's memory cannot be cut back")

    def clear(self) -> None:
        """Forget all positions."""
        llama.llama_memory_clear(self._memory, False)

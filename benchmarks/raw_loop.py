"""llama.cpp's own functions and nothing else: what a runtime can be measured against.

One model with one LoRA, greedy, any number of sequences that are decoded together.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Sequence
from pathlib import Path

import llama_cpp as llama
import numpy as np


class RawLoop:
    """A context of ``n_sequences`` sequences with ``n_ctx`` positions each."""

    def __init__(
        self,
        base: Path,
        adapter: Path,
        *,
        cpu: bool,
        n_threads: int,
        n_sequences: int = 1,
        n_ctx: int = 2048,
    ) -> None:
        params = llama.llama_model_default_params()
        if cpu:
            self._no_devices = (ctypes.c_void_p * 1)()
            params.devices = ctypes.cast(self._no_devices, ctypes.c_void_p)
            params.n_gpu_layers = 0
        else:
            params.n_gpu_layers = -1
        self._model = llama.llama_model_load_from_file(os.fsencode(base), params)
        options = llama.llama_context_default_params()
        options.n_ctx = n_ctx * n_sequences
        options.n_seq_max = n_sequences
        options.kv_unified = False
        options.no_perf = True
        options.n_threads = options.n_threads_batch = n_threads
        if cpu:
            options.flash_attn_type = 0  # as ours: flash attention slows a CPU down
        self._context = llama.llama_init_from_model(self._model, options)
        lora = llama.llama_adapter_lora_init(self._model, os.fsencode(adapter))
        if not (self._model and self._context and lora):
            raise RuntimeError(f"llama.cpp cannot load {base} with {adapter}")
        array = (llama.llama_adapter_lora_p_ctypes * 1)(lora)
        llama.llama_set_adapters_lora(self._context, array, 1, (ctypes.c_float * 1)(1.0))
        self._n_vocab = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self._model))
        self._n_sequences = n_sequences

    def run(self, prompt: Sequence[int], n_tokens: int) -> float:
        """Seconds for all but the first of ``n_tokens`` after ``prompt`` in each sequence."""
        llama.llama_memory_clear(llama.llama_get_memory(self._context), False)
        batch = llama.llama_batch_init(max(len(prompt), self._n_sequences), 0, 1)
        sequences = range(self._n_sequences)
        tokens = []
        for sequence in sequences:
            rows = [(token, place, sequence) for place, token in enumerate(prompt)]
            tokens += self._decode(batch, rows, [len(rows) - 1])
        started = time.perf_counter()
        for place in range(len(prompt), len(prompt) + n_tokens - 1):
            rows = [(tokens[sequence], place, sequence) for sequence in sequences]
            tokens = self._decode(batch, rows, list(sequences))
        seconds = time.perf_counter() - started
        llama.llama_batch_free(batch)
        return seconds

    def _decode(
        self, batch: llama.llama_batch, rows: Sequence[tuple[int, int, int]], wanted: list[int]
    ) -> list[int]:
        """The likeliest token after each of the ``wanted`` rows of (token, position, sequence)."""
        for index, (token, place, sequence) in enumerate(rows):
            batch.token[index], batch.pos[index] = token, place
            batch.n_seq_id[index], batch.seq_id[index][0] = 1, sequence
            batch.logits[index] = index in wanted
        batch.n_tokens = len(rows)
        if code := llama.llama_decode(self._context, batch):
            raise RuntimeError(f"llama_decode failed with code {code}")
        logits = (llama.llama_get_logits_ith(self._context, index) for index in wanted)
        return [int(np.ctypeslib.as_array(one, (self._n_vocab,)).argmax()) for one in logits]

    def close(self) -> None:
        llama.llama_free(self._context)
        llama.llama_model_free(self._model)

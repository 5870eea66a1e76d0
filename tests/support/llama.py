"""Runs GGUF files through llama.cpp's C interface, as exactly as it can: F32, one thread.

Only for comparing converters with PyTorch.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

_QUIET = llama_cpp.llama_log_callback(lambda *_: None)
_F32, _NO_FLASH_ATTENTION = 0, 0


@contextmanager
def open_model(path: Path, *, vocab_only: bool = False) -> Iterator[Any]:
    llama_cpp.llama_log_set(_QUIET, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_default_params()
    parameters.use_extra_bufts = False
    parameters.n_gpu_layers = 0
    no_devices = (ctypes.c_void_p * 1)()  # else a GPU is lent the products of long prompts
    parameters.devices = ctypes.cast(no_devices, ctypes.c_void_p)
    parameters.vocab_only = vocab_only
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
    assert model, f"llama.cpp refused {path}"
    try:
        yield model
    finally:
        llama_cpp.llama_model_free(model)


def logits(
    base: Path, tokens: Sequence[int], adapter: Path | None = None
) -> npt.NDArray[np.float32]:
    """Logits at every position, (tokens, vocabulary)."""
    with open_model(base) as model:
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx, parameters.n_batch, parameters.n_ubatch = 128, 128, 128
        parameters.n_threads = parameters.n_threads_batch = 1
        parameters.flash_attn_type = _NO_FLASH_ATTENTION
        parameters.type_k = parameters.type_v = _F32
        context = llama_cpp.llama_init_from_model(model, parameters)
        assert context
        try:
            if adapter is not None:
                _apply(model, context, adapter)
            return _decode(model, context, tokens)
        finally:
            llama_cpp.llama_free(context)


def _apply(model: Any, context: Any, adapter: Path) -> None:
    lora = llama_cpp.llama_adapter_lora_init(model, str(adapter).encode())
    assert lora, f"llama.cpp refused {adapter}"
    adapters = (llama_cpp.llama_adapter_lora_p_ctypes * 1)(lora)
    scales = (ctypes.c_float * 1)(1.0)
    assert llama_cpp.llama_set_adapters_lora(context, adapters, 1, scales) == 0


def _decode(model: Any, context: Any, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
    n_vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    try:
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.logits[i] = int(token), i, 1
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
        assert llama_cpp.llama_decode(context, batch) == 0
        values = llama_cpp.llama_get_logits(context)
        result: npt.NDArray[np.float32]
        result = np.ctypeslib.as_array(values, (len(tokens), n_vocab)).copy()
        return result
    finally:
        llama_cpp.llama_batch_free(batch)


def tokenize(model: Any, text: str | bytes, *, add_special: bool = False) -> list[int]:
    """Token ids; control tokens in ``text`` are recognised, as Transformers does."""
    raw = text.encode() if isinstance(text, str) else text
    vocab = llama_cpp.llama_model_get_vocab(model)
    room = len(raw) + 8
    tokens = (llama_cpp.llama_token * room)()
    n = llama_cpp.llama_tokenize(vocab, raw, len(raw), tokens, room, add_special, True)
    assert n >= 0
    return list(tokens[:n])


def detokenize(model: Any, tokens: Sequence[int]) -> bytes:
    """The bytes of each token, joined; control tokens as their text."""
    vocab = llama_cpp.llama_model_get_vocab(model)
    pieces = []
    for token in tokens:
        buffer = ctypes.create_string_buffer(512)
        n = llama_cpp.llama_token_to_piece(vocab, token, buffer, len(buffer), 0, True)
        assert n >= 0
        pieces.append(buffer.raw[:n])
    return b"".join(pieces)

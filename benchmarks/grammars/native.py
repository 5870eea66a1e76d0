"""llama.cpp's own grammar, on a vocabulary without a model, in a process that may be ended.

Both ways that it can be used: masking all tokens before one is chosen, as
llama-cpp-python's ``Llama`` does, and looking only at the token that was chosen.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import llama_cpp as llama
import numpy as np

__all__ = ["NativeTimes", "Vocabulary", "native_times"]

MEMORY = 6 << 30
"""Bytes of address space for llama.cpp's stacks of an ambiguous grammar."""


class Vocabulary:
    """The tokens of a GGUF file; has what a `GrammarConstraint` asks of a model."""

    def __init__(self, path: Path) -> None:
        llama.llama_log_set(_silent, ctypes.c_void_p(0))
        llama.llama_backend_init()
        params = llama.llama_model_default_params()
        params.vocab_only = True
        self._model = llama.llama_model_load_from_file(os.fsencode(path), params)
        self.pointer = llama.llama_model_get_vocab(self._model)
        self.n_tokens = llama.llama_vocab_n_tokens(self.pointer)
        self.pieces = tuple(map(self._piece, range(self.n_tokens)))
        is_end = llama.llama_vocab_is_eog
        self.end_tokens = [t for t in range(self.n_tokens) if is_end(self.pointer, t)]

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(512)
        n = llama.llama_token_to_piece(self.pointer, token, buffer, len(buffer), 0, False)
        return buffer.raw[: max(n, 0)]

    def tokenize(self, text: str) -> list[int]:
        data = text.encode()
        tokens = (llama.llama_token * len(data))()
        n = llama.llama_tokenize(self.pointer, data, len(data), tokens, len(tokens), False, False)
        return list(tokens[:n])

    def is_end(self, token: int) -> bool:
        return token in self.end_tokens


@dataclass(frozen=True)
class NativeTimes:
    """Seconds for each token; ``cut`` if the last one is the time after which it was given up."""

    seconds: list[float]
    cut: bool


def native_times(
    vocabulary: Vocabulary, grammar: str, tokens: list[int], *, whole_mask: bool, budget: float
) -> NativeTimes | None:
    """Time llama.cpp along ``tokens`` for ``budget`` seconds; None if it refuses the grammar."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(
        target=_walk, args=(theirs, vocabulary, grammar, tokens, whole_mask), daemon=True
    )
    child.start()
    theirs.close()
    seconds: list[float] = []
    deadline = time.perf_counter() + budget
    last = time.perf_counter()
    refused = cut = False
    try:
        while len(seconds) < len(tokens):
            if not ours.poll(max(0.0, deadline - time.perf_counter())):
                seconds.append(time.perf_counter() - last)
                cut = True
                break
            taken = ours.recv()
            if taken is None:
                refused = True
                break
            seconds.append(taken)
            last = time.perf_counter()
    except EOFError:  # out of memory
        seconds.append(time.perf_counter() - last)
        cut = True
    child.kill()
    child.join()
    return None if refused else NativeTimes(seconds, cut)


def _walk(
    connection: Connection,
    vocabulary: Vocabulary,
    grammar: str,
    tokens: list[int],
    whole_mask: bool,
) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sampler = llama.llama_sampler_init_grammar(vocabulary.pointer, grammar.encode(), b"root")
    if not sampler:
        connection.send(None)
        return
    kind = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
    for token in tokens:
        candidates = np.zeros(vocabulary.n_tokens if whole_mask else 1, kind)
        candidates["id"] = np.arange(vocabulary.n_tokens) if whole_mask else token
        data = candidates.ctypes.data_as(ctypes.POINTER(llama.llama_token_data))
        array = llama.llama_token_data_array(data, len(candidates), -1, False)
        started = time.perf_counter()
        llama.llama_sampler_apply(sampler, ctypes.byref(array))
        legal = candidates["logit"][token if whole_mask else 0] == 0.0
        if legal:
            llama.llama_sampler_accept(sampler, token)
        taken = time.perf_counter() - started
        assert legal, f"llama.cpp refuses {vocabulary.pieces[token]!r}"
        connection.send(taken)


@llama.llama_log_callback
def _silent(*_: object) -> None:
    """Leave llama.cpp's log out."""

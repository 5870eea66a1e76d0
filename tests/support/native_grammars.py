"""llama.cpp's own reader of grammars, asked directly: what it reads and which texts it takes."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

import llama_cpp

from hivellm_lite.engine import Model


def readable(model: Model, grammar: bytes | str) -> bool:
    """Whether llama.cpp reads the grammar's text."""
    with _sampler(model, grammar) as sampler:
        return bool(sampler)


def accepts(model: Model, grammar: bytes | str, text: str) -> bool:
    """Whether llama.cpp takes ``text`` and then its end, by a grammar that it must read."""
    with _sampler(model, grammar) as sampler:
        assert sampler, f"llama.cpp refuses the grammar\n{grammar!s}"
        for token in [*model.tokenize(text), model.special_token("<|im_end|>")]:
            data = (llama_cpp.llama_token_data * 1)((token, 0.0, 0.0))
            array = llama_cpp.llama_token_data_array(data, 1, -1, False)
            llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
            if data[0].logit == float("-inf"):
                return False
            llama_cpp.llama_sampler_accept(sampler, token)
        return True


@contextlib.contextmanager
def _sampler(model: Model, grammar: bytes | str) -> Iterator[object]:
    """The sampler of a grammar, freed in the end; None for one that llama.cpp does not read."""
    text = grammar.encode() if isinstance(grammar, str) else grammar
    sampler = llama_cpp.llama_sampler_init_grammar(model.vocabulary.pointer, text, b"root")
    try:
        yield sampler
    finally:
        if sampler:
            llama_cpp.llama_sampler_free(sampler)

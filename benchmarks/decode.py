"""Decoding through `Expert.generate_stream` against the plain low-level loop.

Same process, same GGUF, same adapter, same threads, same prompt tokens, greedy,
run in turn. The plain loop is what one writes with llama-cpp-python's low-level
functions and nothing else: decode, sample, turn the token into bytes.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import time
from pathlib import Path

import llama_cpp as llama

from hivellm_lite import Expert
from hivellm_lite.hardware import physical_cores

from .table import median_ratio, show

RUNS = 21
PROMPT = "What is the total price of the orders of each customer?"
SCHEMA = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, city TEXT);\n"
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers(id), "
    "product TEXT, price REAL);"
)


class PlainLoop:
    """``flash_attention`` and repacking (``extra_buffers``) are llama.cpp's own by default."""

    def __init__(
        self,
        base: Path,
        adapter: Path,
        *,
        flash_attention: bool | None = None,
        extra_buffers: bool = True,
    ) -> None:
        params = llama.llama_model_default_params()
        params.use_extra_bufts = extra_buffers
        self.model = llama.llama_model_load_from_file(os.fsencode(base), params)
        self.vocab = llama.llama_model_get_vocab(self.model)
        options = llama.llama_context_default_params()
        options.n_ctx = 2048
        options.n_threads = options.n_threads_batch = physical_cores()
        options.no_perf = True
        if flash_attention is not None:
            options.flash_attn_type = int(flash_attention)
        self.context = llama.llama_init_from_model(self.model, options)
        lora = llama.llama_adapter_lora_init(self.model, os.fsencode(adapter))
        array = (llama.llama_adapter_lora_p_ctypes * 1)(lora)
        llama.llama_set_adapters_lora(self.context, array, 1, (ctypes.c_float * 1)(1.0))
        self.sampler = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        llama.llama_sampler_chain_add(self.sampler, llama.llama_sampler_init_greedy())
        self.buffer = ctypes.create_string_buffer(256)

    def run(self, prompt: list[int], n_tokens: int) -> float:
        """Seconds for all but the first of ``n_tokens``."""
        llama.llama_memory_clear(llama.llama_get_memory(self.context), False)
        tokens = (llama.llama_token * len(prompt))(*prompt)
        llama.llama_decode(self.context, llama.llama_batch_get_one(tokens, len(prompt)))
        found, one = [], (llama.llama_token * 1)()
        text = b""
        started = 0.0
        while len(found) < n_tokens:
            token = llama.llama_sampler_sample(self.sampler, self.context, -1)
            if not found:
                started = time.perf_counter()
            found.append(token)
            n = llama.llama_token_to_piece(self.vocab, token, self.buffer, 256, 0, False)
            text += self.buffer.raw[:n]
            if len(found) < n_tokens:
                one[0] = token
                llama.llama_decode(self.context, llama.llama_batch_get_one(one, 1))
        return time.perf_counter() - started


def main(base: Path, package: Path) -> None:
    expert = Expert.load(package, base=base)
    # a stop sequence that cannot occur: the scanner works, and nothing ends early
    options = {"stop": ["\x00"], "temperature": 0.0, "schema": SCHEMA}
    plain = PlainLoop(base, expert.prepared.lora)
    prompt = expert.tokenize_prompt(PROMPT, schema=SCHEMA)
    ours: list[float] = []
    theirs: list[float] = []
    n_tokens = 0
    for turn in range(RUNS + 1):
        result = expert.generate(PROMPT, **options)
        n_tokens = result.completion_tokens
        seconds = plain.run(prompt, n_tokens)
        if turn:
            ours.append(1 / result.tokens_per_second)
            theirs.append(seconds / (n_tokens - 1))
    show(
        f"Decoding {n_tokens} tokens, LoRA applied, {physical_cores()} threads, {RUNS} runs each",
        ("", "ms/token (median)", "speed against the plain loop"),
        [
            ("plain low-level loop", f"{statistics.median(theirs) * 1e3:.2f}", "1"),
            (
                "Expert.generate_stream",
                f"{statistics.median(ours) * 1e3:.2f}",
                f"{median_ratio(ours, theirs):.3f}",
            ),
        ],
    )

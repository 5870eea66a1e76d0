"""What `startup` compares with, each as a process of its own.

``llama``: the script that one writes with llama-cpp-python's class ``Llama`` for one answer.
``parts``: what llama.cpp alone needs, part by part, in milliseconds as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time


def llama(base: str, adapter: str, prompt: list[int], n_threads: int) -> None:
    """Print an answer piece by piece, with the same tokens, context and threads as ours."""
    from llama_cpp import Llama

    model = Llama(
        base,
        lora_path=adapter or None,
        n_ctx=2048,
        n_threads=n_threads,
        n_threads_batch=n_threads,
        verbose=False,
    )
    for piece in model.create_completion(prompt, max_tokens=8, temperature=0.0, stream=True):
        sys.stdout.write(piece["choices"][0]["text"])
        sys.stdout.flush()


def parts(base: str, adapter: str, prompt: list[int], n_threads: int) -> None:
    """Read the model and the adapter, make a context, compute the prompt, free everything."""
    import ctypes

    import llama_cpp as low

    nothing = low.llama_log_callback(lambda _level, _text, _data: None)
    low.llama_log_set(nothing, ctypes.c_void_p(0))
    low.llama_backend_init()
    taken, last = {}, time.perf_counter()

    def done(part: str) -> None:
        nonlocal last
        now = time.perf_counter()
        taken[part], last = (now - last) * 1e3, now

    model = low.llama_model_load_from_file(os.fsencode(base), low.llama_model_default_params())
    done("read the model")
    options = low.llama_context_default_params()
    options.n_ctx, options.n_threads, options.n_threads_batch = 2048, n_threads, n_threads
    context = low.llama_init_from_model(model, options)
    done("make a context")
    if adapter:
        lora = low.llama_adapter_lora_init(model, os.fsencode(adapter))
        array = (low.llama_adapter_lora_p_ctypes * 1)(lora)
        low.llama_set_adapters_lora(context, array, 1, (ctypes.c_float * 1)(1.0))
        done("read the adapter")
    tokens = (low.llama_token * len(prompt))(*prompt)
    low.llama_decode(context, low.llama_batch_get_one(tokens, len(prompt)))
    low.llama_get_logits(context)
    done(f"compute a prompt of {len(prompt)} tokens")
    low.llama_free(context)
    low.llama_model_free(model)
    done("free everything")
    print(json.dumps(taken))


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    base, adapter, prompt, n_threads = rest
    {"llama": llama, "parts": parts}[name](base, adapter, json.loads(prompt), int(n_threads))

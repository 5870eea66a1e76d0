"""What one machine takes for the pieces of its work: the numbers of `benchmarks.fleet_kinds`.

::

    python -m benchmarks.fleet_costs --base SmolLM2-135M-Instruct.Q4_1.gguf    # some two minutes

Decodes and prompts are CPU time of two threads, halved: what they take on two idle cores, also
where the machine is not idle.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from hivellm_lite import Expert, ExpertManager
from hivellm_lite.engine import Adapter, Context, ContextOptions, Model, Row

from .experts.workload import PACKAGES, QUESTIONS, SCHEMAS
from .table import show

N_THREADS = 2
N_STREAMS = 16
POSITION = 70
PROMPTS = (4, 8, 16, 32, 64, 128)
ROWS = (1, 2, 3, 4, 6, 8, 12, 16)
LOADED = (2, 20, 60, 120)
TURNS = 4


def milliseconds(work: Callable[[], object], times: int = 1) -> float:
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / N_THREADS / times * 1e3


class Decodes:
    """A context with ``POSITION`` tokens in each stream."""

    def __init__(self, model: Model, adapter: Adapter) -> None:
        self.tokens = np.random.default_rng(0).integers(0, model.n_vocab, 512).tolist()
        options = ContextOptions(n_ctx=256, n_threads=N_THREADS)
        self.context = Context(model, options, N_STREAMS)
        self.context.apply(((adapter, 1.0),))
        for stream in range(N_STREAMS):
            self.context.decode([Row(stream, 0, self.tokens[:POSITION], 1)])

    def prompt(self, n_tokens: int) -> None:
        self.context.truncate(0, POSITION)
        self.context.decode([Row(0, POSITION, self.tokens[POSITION:][:n_tokens], 1)])

    def step(self, n_rows: int) -> None:
        for stream in range(n_rows):
            self.context.truncate(stream, POSITION)
        self.context.decode([Row(stream, POSITION, [stream], 1) for stream in range(n_rows)])

    def swap(self, adapter: Adapter) -> float:
        """Milliseconds of two decodes after a change of adapters, beyond those of two others."""
        usual = milliseconds(lambda: self.step(1), 2) * 2

        def changed() -> None:
            self.context.apply(((adapter, 1.0),))
            self.step(1)
            self.step(1)

        return milliseconds(changed) - usual


def least(work: Callable[[], object], times: int = 1) -> str:
    return f"{min(milliseconds(work, times) for _ in range(TURNS)):.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, required=True, help="a GGUF file")
    base = parser.parse_args().base
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as cache:
        paths = []
        for name in ("sql", "cypher"):
            with Expert.load(PACKAGES[name], base=base, cache_dir=cache) as expert:
                assert expert.prepared.lora is not None
                paths.append(expert.prepared.lora)
        model = Model(base, device="cpu")
        adapters = [Adapter(model, path) for path in paths]
        decodes = Decodes(model, adapters[0])
        show(
            "A prompt of n tokens, and a decode of n answers, ms",
            ("", *map(str, sorted({*PROMPTS, *ROWS}))),
            [
                (name, *(least(partial(run, n)) if n in sizes else ""
                         for n in sorted({*PROMPTS, *ROWS})))
                for name, run, sizes in (
                    ("prompt", decodes.prompt, PROMPTS), ("decode", decodes.step, ROWS)
                )
            ],
        )  # fmt: skip
        rows = []
        for count in LOADED:
            adapters += [Adapter(model, paths[n % 2]) for n in range(len(adapters), count)]
            decodes.context.close()
            decodes = Decodes(model, adapters[0])  # its graph has room for all adapters
            taken = [decodes.swap(adapters[1 + n % (count - 1)]) for n in range(8)]
            rows.append((str(count), f"{statistics.median(taken):.1f}"))
        show("A change of adapters, by those loaded", ("adapters", "ms"), rows)
        decodes.context.close()
        model.close()
        show(*_experts(base, Path(cache)))


def _experts(base: Path, cache: Path) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """How long experts take to load, and the tokens of `benchmarks.serving`'s questions."""
    rows: list[tuple[str, ...]] = []
    with ExpertManager(base=base, n_threads=N_THREADS, cache_dir=cache, keep_base=True) as manager:
        for name, package in PACKAGES.items():
            began, worked = time.perf_counter(), time.process_time()
            manager.load_expert(name, package)
            taken = time.perf_counter() - began, time.process_time() - worked
            results = [
                manager.generate(name, question, schema=SCHEMAS[name], temperature=0,
                                 max_tokens=64, stop=["\x00"], grammar="off")
                for question in QUESTIONS
            ]  # fmt: skip
            own = [one.prompt_tokens - one.cached_prompt_tokens for one in results[1:]]
            rows.append(
                (
                    name,
                    f"{taken[0]:.2f}, {taken[1]:.2f}",
                    f"{results[-1].cached_prompt_tokens}",
                    f"{min(own)} to {max(own)}",
                    " ".join(str(one.completion_tokens) for one in results),
                )
            )
    header = ("expert", "load s: wall, CPU", "shared tokens", "own tokens", "answers")
    return (
        "Loading (sql with the base, json with its conversion), and tokens of 16 questions",
        header,
        rows,
    )


if __name__ == "__main__":
    main()

"""What `benchmarks.device` measures, each with the goal that it is judged by."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp

from hivellm_lite import Expert, ExpertManager
from hivellm_lite.engine import devices
from hivellm_lite.engine.device import is_cpu
from hivellm_lite.hardware import physical_cores

from .raw_loop import RawLoop
from .table import median_ratio

PROMPT = "List the rivers longer than 300, with their country."
SCHEMA = "CREATE TABLE rivers (id INTEGER PRIMARY KEY, name TEXT, length INTEGER, country TEXT);"
ANSWER = {"temperature": 0.0, "stop": ["\x00"], "schema": SCHEMA}
GREEDY = {**ANSWER, "grammar": "off"}
SAMPLED = {**GREEDY, "temperature": 0.8, "top_k": 40, "top_p": 0.9, "seed": 1}
JSON_SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 200},
        "length": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 9},
    },
    "required": ["name", "length", "tags"],
    "additionalProperties": False,
}
N_THREADS = 24
TURNS = 10
"""Rounds in which experts are asked in turn before anything is measured: own contexts appear."""


@dataclass(frozen=True)
class Setting:
    """Files and options. ``own_context_bytes`` applies to the rows with own contexts."""

    base: Path
    packages: tuple[Path, ...]
    cache_dir: Path
    quick: bool
    device: str = "auto"
    own_context_bytes: int | None = None

    @property
    def cpu(self) -> bool:
        return is_cpu(self.device)

    @property
    def n_tokens(self) -> int:
        """Of one answer."""
        return 24 if self.quick else 128

    def expert(self, **options: object) -> Expert:
        return Expert.load(self.packages[0], **self._options, **options)

    @contextmanager
    def manager(self, n_experts: int, own_context_bytes: int | None) -> Iterator[ExpertManager]:
        """A manager with experts ``e0`` … that were asked in turn for some rounds."""
        with ExpertManager(own_context_bytes=own_context_bytes, **self._options) as manager:
            names = [f"e{number}" for number in range(n_experts)]
            for name, path in zip(names, self.packages, strict=False):
                manager.load_expert(name, path)
            for _ in range(TURNS):
                for name in names:
                    manager.generate(name, PROMPT, max_tokens=2, **GREEDY)
            yield manager

    @property
    def own_contexts(self) -> list[tuple[str, int | None]]:
        """The runs with own contexts; a CPU makes them only where their memory is given."""
        own = self.own_context_bytes
        return [] if self.cpu and own is None else [("own contexts", own)]

    def raw_loop(self, adapter: Path, n_sequences: int = 1, n_ctx: int = 2048) -> RawLoop:
        return RawLoop(
            self.base,
            adapter,
            cpu=self.cpu,
            n_threads=physical_cores(),
            n_sequences=n_sequences,
            n_ctx=n_ctx,
        )

    @property
    def _options(self) -> dict[str, object]:
        return {
            "base": self.base,
            "cache_dir": self.cache_dir,
            "device": self.device,
            "adapter_mode": "lora",
        }


@dataclass(frozen=True)
class Measured:
    """A row of the table. ``reached`` is None where no goal is set for it."""

    name: str
    ours: str
    beside: str
    relation: str = ""
    goal: str = ""
    reached: bool | None = None

    @property
    def verdict(self) -> str:
        return {None: "", True: "pass", False: "MISS"}[self.reached]


def describe(setting: Setting) -> str:
    """Devices and build."""
    found = ", ".join(
        f"{one.name} ({one.description}, {one.memory_free / 1e9:.1f} of "
        f"{one.memory_total / 1e9:.1f} GB free)"
        for one in devices()
    )
    where = "the CPU" if setting.cpu else "the GPU"
    return f"    computes on {where}; llama-cpp-python {llama_cpp.__version__} has {found}"


def at_least(value: float, goal: float, *, judged: bool = True) -> dict[str, Any]:
    """How ``value``, a ratio, stands to its goal; only the value if it is not ``judged``."""
    relation = {"relation": f"{value:.3f}"}
    return {**relation, "goal": f"≥ {goal}", "reached": value >= goal} if judged else relation


def at_most(value: float, goal: float, unit: str, *, judged: bool = True) -> dict[str, Any]:
    """The same for a value that should be small."""
    relation = {"relation": f"{value:+.1f} {unit}"}
    return (
        {**relation, "goal": f"≤ {goal} {unit}", "reached": value <= goal} if judged else relation
    )


def one_answer(setting: Setting) -> Iterator[Measured]:
    """One answer alone, greedy and drawn, against the raw loop in turn."""
    ours: list[float] = []
    drawn: list[float] = []
    theirs: list[float] = []
    with setting.expert() as expert:
        assert expert.prepared.lora is not None
        raw = setting.raw_loop(expert.prepared.lora)
        prompt = expert.tokenize_prompt(PROMPT, schema=SCHEMA)
        for turn in range(4 if setting.quick else 8):
            result = expert.generate(PROMPT, max_tokens=setting.n_tokens, **GREEDY)
            n = result.completion_tokens
            seconds = raw.run(prompt, n)
            sampled = expert.generate(PROMPT, max_tokens=setting.n_tokens, **SAMPLED)
            if turn:
                ours.append(1e3 / result.tokens_per_second)
                theirs.append(1e3 * seconds / (n - 1))
                drawn.append(1e3 / sampled.tokens_per_second)
        raw.close()
    raw_text = f"{statistics.median(theirs):.3f} ms raw loop"
    yield Measured(
        f"one answer, {n} tokens, greedy",
        f"{statistics.median(ours):.3f} ms a token",
        raw_text,
        **at_least(median_ratio(ours, theirs), 0.98),
    )
    yield Measured(
        "one answer, drawn with top-k and top-p",
        f"{statistics.median(drawn):.3f} ms a token",
        raw_text,
        f"{median_ratio(drawn, theirs):.3f}",
    )


def answers_together(setting: Setting) -> Iterator[Measured]:
    """Batches, prompts included and warm, against the raw loop's decoding alone."""
    sizes = (4, 8) if setting.quick else (8, 32, 64)
    options = {"max_streams": 64, "kv_positions": 64 * 512, "n_ctx": 512}
    with setting.expert(**options) as expert:
        assert expert.prepared.lora is not None
        prompt = expert.tokenize_prompt(PROMPT, schema=SCHEMA)
        for n in sizes:
            prompts = [f"{PROMPT} {number}" for number in range(n)]
            expert.generate_batch(prompts, max_tokens=8, **GREEDY)
            raw = setting.raw_loop(expert.prepared.lora, n, 512)
            raw.run(prompt, 8)
            ours, theirs = [], []
            for _ in range(3):
                started = time.perf_counter()
                results = expert.generate_batch(prompts, max_tokens=setting.n_tokens, **GREEDY)
                n_tokens = sum(result.completion_tokens for result in results)
                ours.append(n_tokens / (time.perf_counter() - started))
                seconds = raw.run(prompt, setting.n_tokens)
                theirs.append(n * (setting.n_tokens - 1) / seconds)
            raw.close()
            ratio = median_ratio(theirs, ours)
            yield Measured(
                f"{n} answers together, prompts included",
                f"{statistics.median(ours):.0f} tokens/s",
                f"{statistics.median(theirs):.0f} raw loop, decoding only",
                **at_least(ratio, 0.95, judged=n == sizes[-1] and not setting.cpu),
            )


def first_token(setting: Setting) -> Iterator[Measured]:
    """How long the first token takes after the same and after another expert's."""
    for name, own in [("one context", 0), *setting.own_contexts]:
        with setting.manager(3, own) as manager:

            def ask(expert: str, manager: ExpertManager = manager) -> float:
                started = time.perf_counter()
                manager.generate(expert, PROMPT, max_tokens=1, **GREEDY)
                return 1e3 * (time.perf_counter() - started)

            same, other = [], []
            for turn in range(6 if setting.quick else 30):
                other.append(ask(f"e{turn % 3}"))
                same.append(ask(f"e{turn % 3}"))
        more = statistics.median(a - b for a, b in zip(other, same, strict=True))
        yield Measured(
            f"first token, another expert, {name}",
            f"{statistics.median(other):.1f} ms",
            f"{statistics.median(same):.1f} ms of the same",
            **at_most(more, 1.0, "ms", judged=own != 0),
        )


def mixed_experts(setting: Setting) -> Iterator[Measured]:
    """Many answers from 24 threads, of one expert and of several at random."""
    n_answers, n_tokens = (24, 16) if setting.quick else (96, 64)
    alone = 0.0
    runs = [(1, 0), (3, 0), (10, 0)]
    runs += [(n, own) for n in (3, 10) for _, own in setting.own_contexts]
    for n_experts, own in runs:
        swapping = n_experts > 1 and own == 0
        few = n_answers // 4 if swapping and not setting.cpu else n_answers  # slow
        with setting.manager(n_experts, own) as manager:

            def ask(
                number: int,
                n_tokens: int = n_tokens,
                n_experts: int = n_experts,
                manager: ExpertManager = manager,
            ) -> int:
                name, prompt = f"e{number % n_experts}", f"{PROMPT} {number}"
                result = manager.generate(name, prompt, max_tokens=n_tokens, **GREEDY)
                return result.completion_tokens

            with ThreadPoolExecutor(N_THREADS) as pool:
                list(pool.map(ask, range(N_THREADS), itertools.repeat(8)))
                before = manager.stats()["bases"][0]
                started = time.perf_counter()
                rate = sum(pool.map(ask, range(few))) / (time.perf_counter() - started)
            (after,) = manager.stats()["bases"]
        alone = alone or rate
        swaps = after["requests"]["swaps"] - before["requests"]["swaps"]
        kind = "one context" if own == 0 else f"{len(after['own_contexts'])} own contexts"
        yield Measured(
            f"{few} answers, 24 threads, {_experts(n_experts)}, {kind}",
            f"{rate:.0f} tokens/s",
            f"{swaps} swaps, {after['memory_bytes'] / 1e6:.0f} MB of contexts",
            **at_least(rate / alone, 0.9, judged=own != 0),
        )
        if own != 0:
            print(f"    {after['residency']}", flush=True)


def _experts(n: int) -> str:
    return "one expert" if n == 1 else f"{n} experts mixed"


def grammars(setting: Setting) -> Iterator[Measured]:
    """What a grammar adds to a token, all kinds in turn."""
    kinds: dict[str, dict[str, object]] = {
        "none": {"grammar": "off"},
        "SQL grammar": {"grammar": "sql-postgres"},
        "JSON schema": {"json_schema": JSON_SCHEMA},
    }
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    with setting.expert() as expert:
        for turn in range(3 if setting.quick else 6):
            for name, kind in kinds.items():
                result = expert.generate(PROMPT, max_tokens=setting.n_tokens, **ANSWER, **kind)
                if turn:
                    taken[name].append(1e3 / result.tokens_per_second)
    for name in list(kinds)[1:]:
        more = 100 * (1 / median_ratio(taken[name], taken["none"]) - 1)
        yield Measured(
            f"{name} on random weights",
            f"{statistics.median(taken[name]):.3f} ms a token",
            f"{statistics.median(taken['none']):.3f} ms without",
            **at_most(more, 2.0, "%", judged=not setting.cpu),
        )

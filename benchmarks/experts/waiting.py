"""How long OpenMP's threads wait for each other: alone, and beside another busy process.

``OMP_WAIT_POLICY`` is read when llama.cpp loads, so every figure has a process of its own.
A thread that spins keeps its core while the one that it waits for is not running.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator

from .child import run_alone
from .comparison import Comparison, Series
from .peers import Library
from .workload import SCHEMAS, Question, Workload

SECONDS = 12.0
"""How long is decoded at most: spinning beside a busy process can take seconds a token."""

MAX_TOKENS = 96

BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
"""Never idle, and ends with the process that started it, however that ends."""

POLICIES: dict[str, dict[str, str | None]] = {
    "default of hivellm-lite": {"OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": None},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": None},
    "active": {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": None},
}
"""Environments of the processes."""


def measure(workload: Workload) -> list[Comparison]:
    (question,) = workload.questions("sql", [SCHEMAS["sql"]], ["Write about every river."])
    series = []
    for busy, policy, threads in itertools.product(
        (False, True), POLICIES, sorted({1, workload.n_threads})
    ):
        limited = dataclasses.replace(workload, n_threads=threads)
        with _busy_process() if busy else contextlib.nullcontext():
            found = run_alone(token_milliseconds, limited, question, **POLICIES[policy])
        where = "beside a busy process" if busy else "alone"
        plural = "s" * (threads > 1)
        series.append(Series(f"{where}, {policy}, {threads} thread{plural}", found))
    title = "Decoding by how OpenMP's threads wait"
    return [Comparison(title, "ms/token", tuple(series))]


def token_milliseconds(workload: Workload, question: Question) -> tuple[float, ...]:
    """Milliseconds of each token of one answer after another, the first of each left out."""
    library = Library(workload, workload.packages(1))
    until = time.perf_counter() + SECONDS
    found: list[float] = []
    while time.perf_counter() < until and len(found) < MAX_TOKENS:
        stream = library.manager.generate_stream(
            question.expert, question.prompt, schema=question.schema, temperature=0.0
        )
        moments = [time.perf_counter() for _ in stream]
        found += [(after - before) * 1e3 for before, after in itertools.pairwise(moments)]
    return tuple(found)


@contextlib.contextmanager
def _busy_process() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()

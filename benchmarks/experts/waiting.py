"""How long OpenMP's threads wait for each other: alone, beside another team of threads in the same
process, and beside other busy processes.

It is told before llama.cpp loads, so every figure has a process of its own. A thread that spins
keeps its core while the one that it waits for is not running.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator

from .child import run_alone
from .comparison import Comparison, Series
from .peers import Library, new_llama
from .workload import SCHEMAS, Question, Workload

SECONDS = 8.0
"""How long is decoded at most: spinning beside a busy process can take seconds a token."""

MAX_TOKENS = 96

BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
"""Never idle, and ends with the process that started it, however that ends."""

DEFAULT = "default of hivellm-lite"
POLICIES: dict[str, dict[str, str | None]] = {
    DEFAULT: {"OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": None},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": None},
    "active": {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": None},
    **{
        f"{count} spins": {"OMP_WAIT_POLICY": None, "GOMP_SPINCOUNT": str(count)}
        for count in (100, 300, 1000, 10_000)
    },
}
"""Environments of the processes. 300 spins are the default's too, but for several teams."""


def measure(workload: Workload) -> list[Comparison]:
    (question,) = workload.questions("sql", [SCHEMAS["sql"]], ["Write about every river."])
    one_thread = dataclasses.replace(workload, n_threads=1)
    threads = f"{workload.n_threads} threads"
    found = []
    for n_busy, where in enumerate(("alone", "beside a busy process", "beside two")):
        series = []
        with contextlib.ExitStack() as stack:
            for _ in range(n_busy):
                stack.enter_context(_busy_process())
            for name, policy in POLICIES.items():
                taken = run_alone(token_milliseconds, workload, question, **policy)
                series.append(Series(f"{name}, {threads}", taken))
            taken = run_alone(token_milliseconds, one_thread, question, **POLICIES[DEFAULT])
            series.append(Series(f"{DEFAULT}, 1 thread", taken))
            if not n_busy:
                for name in (DEFAULT, "300 spins"):
                    taken = run_alone(beside_a_team, workload, question, **POLICIES[name])
                    series.append(Series(f"{name}, {threads}, with another team", taken))
        title = f"Decoding by how OpenMP's threads wait, {where}"
        found.append(Comparison(title, "ms/token", tuple(series)))
    return found


def beside_a_team(workload: Workload, question: Question) -> tuple[float, ...]:
    """`token_milliseconds` where this thread has computed something before."""
    importlib.import_module("hivellm_lite.engine")  # it tells OpenMP how to wait
    llama = new_llama(workload, None)
    llama.eval(list(question.tokens))
    try:
        return token_milliseconds(workload, question)
    finally:
        llama.close()


def token_milliseconds(workload: Workload, question: Question) -> tuple[float, ...]:
    """Milliseconds of each token of one answer after another, the first of each left out."""
    library = Library(workload, workload.packages(1))
    until = time.perf_counter() + SECONDS
    found: list[float] = []
    while time.perf_counter() < until and len(found) < MAX_TOKENS:
        stream = library.manager.generate_stream(
            question.expert,
            question.prompt,
            schema=question.schema,
            temperature=0.0,
            stop=["\x00"],
            grammar="off",
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

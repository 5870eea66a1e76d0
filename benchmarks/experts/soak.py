"""Thousands of short requests for five experts from eight threads, in a process of its own.

Every answer shall be the one that the same question has alone, and the memory shall not
grow after a tenth of them.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..peft_parity import questions as held_out
from .child import resident_bytes, run_alone
from .comparison import Comparison, Goal, Series
from .peers import Library
from .workload import Question, Workload

N_EXPERTS, N_QUESTIONS, N_THREADS = 5, 8, 8
MAX_TOKENS = 6
GROWTH_GOAL = 2.0
"""Percent that the resident memory may grow after the warm-up."""


@dataclass(frozen=True)
class Soaked:
    """``resident``: MB after each hundredth of the requests, those of the warm-up left out."""

    seconds: float
    wrong: tuple[str, ...]
    resident: tuple[float, ...]


def measure(workload: Workload, n_requests: int) -> list[Comparison]:
    packages = workload.packages(N_EXPERTS)
    questions = [question for name in packages for question in _own_questions(workload, name)]
    soaked = run_alone(soak, workload, packages, questions, n_requests)
    first, last = (statistics.median(part) for part in (soaked.resident[:5], soaked.resident[-5:]))
    course = " ".join(f"{value:.0f}" for value in soaked.resident[::9])
    return [
        Comparison(
            f"Resident memory over {n_requests} requests, {N_EXPERTS} experts, {N_THREADS} threads",
            "MB",
            (Series("hivellm-lite", soaked.resident),),
            (
                Goal("wrong answers", len(soaked.wrong), 0),
                Goal("growth of memory in %", (last / first - 1) * 100, GROWTH_GOAL),
            ),
            (
                f"{n_requests / soaked.seconds:.1f} requests/s",
                f"from a tenth of the requests to all of them: {course} MB",
                *soaked.wrong[:5],
            ),
        )
    ]


def _own_questions(workload: Workload, expert: str) -> list[Question]:
    """What the expert was trained for, so that its answers are no close calls."""
    examples = held_out(expert.split("-")[0])[:N_QUESTIONS]
    schemas = [schema for _, schema, _ in examples]
    return workload.questions(expert, schemas, [question for question, _, _ in examples])


def soak(
    workload: Workload,
    packages: Mapping[str, Path],
    questions: list[Question],
    n_requests: int,
) -> Soaked:
    """Ask each question alone, then all of them over and over from several threads."""
    library = Library(workload, dict(packages))
    expected = {question: library.ask(question, MAX_TOKENS).text for question in questions}
    chosen = random.Random(0).choices(questions, k=n_requests)

    def ask(question: Question) -> str | None:
        text = library.ask(question, MAX_TOKENS).text
        if text == expected[question]:
            return None
        return f"{question.expert}: {question.prompt} {expected[question]!r}, now {text!r}"

    wrong: list[str] = []
    resident: list[float] = []
    started = time.perf_counter()
    with ThreadPoolExecutor(N_THREADS) as pool:
        for count, found in enumerate(pool.map(ask, chosen), 1):
            if found is not None:
                wrong.append(found)
            if count % max(1, n_requests // 100) == 0 and count > n_requests / 10:
                resident.append(resident_bytes() / 1e6)
    seconds = time.perf_counter() - started
    library.close()
    return Soaked(seconds, tuple(wrong), tuple(resident))

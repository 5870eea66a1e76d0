"""Resident memory of 1 to 20 experts on one base, a process for each figure.

The first expert is asked about a long schema, so that the buffers which all share are in use,
then each expert is asked once. `Llama` is given an adapter when it is made and keeps it, so
several experts are several of them; they stand in one process here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from hivellm_lite.inference.compute_thread import LINGER

from .child import resident_bytes, run_alone
from .comparison import Goal, Scaling, Series
from .peers import Library, Server, new_llama
from .workload import QUESTIONS, SCHEMAS, Adapter, Question, Workload

COUNTS = (1, 3, 5, 10, 20)
FIVE_GOAL = 1.15
"""What five experts may take, in times of one."""

MAX_TOKENS = 8
LONG_TOKENS = 500
SETTLED_AFTER = LINGER + 1
"""Seconds after the last answer: an idle process has returned what it holds free."""


_Holding = Callable[[Workload, Sequence[Adapter], Sequence[Question]], int]


def measure(workload: Workload) -> list[Scaling]:
    adapters = workload.adapters(max(COUNTS))
    questions = [
        workload.questions(one.name, [SCHEMAS[one.name.split("-")[0]]])[0] for one in adapters
    ]
    schema = workload.long_schema("sql", LONG_TOKENS)
    questions[:0] = workload.questions("sql", [schema], QUESTIONS[:1])
    ways: dict[str, _Holding] = {"hivellm-lite": in_library, "Llama objects": in_llamas}
    if workload.llama_server:
        ways["llama-server, 1 slot"] = in_server
    series = []
    for name, holding in ways.items():
        found = [
            run_alone(holding, workload, adapters[:count], questions[: count + 1]) / 1e6
            for count in COUNTS
        ]
        series.append(Series(name, tuple(found)))
    own = dict(zip(COUNTS, series[0].values, strict=True))
    return [
        Scaling(
            f"Resident memory, one prompt of {LONG_TOKENS} tokens, then every expert asked once",
            "MB",
            "experts",
            COUNTS,
            tuple(series),
            (Goal("five experts in times of one", own[5] / own[1], FIVE_GOAL),),
        )
    ]


def in_library(
    workload: Workload, adapters: Sequence[Adapter], questions: Sequence[Question]
) -> int:
    """Bytes of this process with the experts in a manager."""
    library = Library(workload, {one.name: one.package for one in adapters})
    for question in questions:
        library.ask(question, MAX_TOKENS)
    return _settled_bytes()


def in_server(
    workload: Workload, adapters: Sequence[Adapter], questions: Sequence[Question]
) -> int:
    """Bytes of a `llama-server` with the adapters."""
    server = Server(workload, adapters, slots=1)
    try:
        for question in questions:
            server.ask(question, MAX_TOKENS)
        return _settled_bytes(server.process.pid)
    finally:
        server.close()


def in_llamas(
    workload: Workload, adapters: Sequence[Adapter], questions: Sequence[Question]
) -> int:
    """Bytes of this process with a `Llama` for each adapter."""
    kept: list[Any] = []
    for index, question in enumerate(questions):
        if index != 1:  # the first expert has two questions
            kept.append(new_llama(workload, adapters[len(kept)].gguf))
        kept[-1].create_completion(list(question.tokens), max_tokens=MAX_TOKENS, temperature=0.0)
    return _settled_bytes()


def _settled_bytes(process: int | str = "self") -> int:
    time.sleep(SETTLED_AFTER)
    return resident_bytes(process)

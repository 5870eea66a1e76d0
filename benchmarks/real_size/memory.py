"""Memory of several experts, a process for each figure."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

from hivellm_lite.inference.compute_thread import LINGER

from ..experts.child import proportional_bytes, run_alone
from ..experts.peers import Library, Server, new_llama
from ..experts.workload import QUESTIONS, Question
from .case import Case, Row

COUNTS = (1, 5, 20)
MAX_LLAMAS = 5
"""A `Llama` object holds one expert and has a context of its own: twenty take 15 GB."""

MAX_TOKENS = 4
SETTLED_AFTER = LINGER + 1
"""Seconds after the last answer: an idle process has returned what it holds free."""


def memory(case: Case, environment: dict[str, str]) -> list[Row]:
    """MB of one expert and of several, each asked once, and five in times of one."""
    ways: dict[str, Callable[[Case, int], int]] = {"hivellm-lite": _in_library}
    if case.peers:
        ways["Llama objects"] = _in_llamas
        if case.llama_server:
            ways["llama-server, 1 slot"] = _in_server
    rows = []
    for way, held in ways.items():
        figures = {
            str(count): run_alone(held, case, count, **environment) / 1e6
            for count in COUNTS
            if held is not _in_llamas or count <= MAX_LLAMAS
        }
        rows.append(Row(way, {**figures, "5 to 1": figures["5"] / figures["1"]}))
    return rows


def _in_library(case: Case, count: int) -> int:
    library = Library(case, case.packages(count))
    for name in case.packages(count):
        # no token ids: computing them would load an expert of its own
        library.ask(Question(name, QUESTIONS[0], None, ()), MAX_TOKENS)
    gc.collect()
    return _settled_bytes()


def _in_server(case: Case, count: int) -> int:
    server = Server(case, case.adapters(count), slots=1)
    try:
        for name in case.packages(count):
            server.ask(case.questions_of(name, 1)[0], MAX_TOKENS)
        return _settled_bytes(server.process.pid)
    finally:
        server.close()


def _in_llamas(case: Case, count: int) -> int:
    kept: list[Any] = []
    for adapter in case.adapters(count):
        kept.append(new_llama(case, adapter.gguf))
        tokens = list(case.questions_of(adapter.name, 1)[0].tokens)
        kept[-1].create_completion(tokens, max_tokens=MAX_TOKENS, temperature=0.0)
    return _settled_bytes()


def _settled_bytes(process: int | str = "self") -> int:
    time.sleep(SETTLED_AFTER)
    return proportional_bytes(process)

"""Many answers together: batches of one expert, and answers of several experts mixed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..experts.peers import Library, Server, greedy
from ..experts.workload import Question
from .case import Case, Row

SIZES = (1, 2, 4, 8, 16, 32)
N_TOKENS = 24
"""Tokens of an answer."""

FEW_TOKENS = 4
"""Tokens of an answer whose time is taken off, so that prompts do not count."""

SERVER_CTX = 512
"""Positions of a slot of llama-server, which has one for each answer from the start."""

N_MIXED, N_CLIENTS = 12, 6
"""Answers of several experts mixed, and threads that ask for them."""


def batches(case: Case) -> list[Row]:
    """Tokens a second of so many answers together, prompts included, and how many times as fast
    as one by one the sixteen are, with prompts and without.
    """
    (expert,) = case.packages(1)
    rows = []
    with contextlib.closing(Library(case, case.packages(1), max_streams=max(SIZES))) as library:

        def ours(questions: Sequence[Question], n_tokens: int) -> int:
            answers = library.manager.generate_batch(
                expert, [{"prompt": one.prompt} for one in questions], **greedy(n_tokens)
            )
            return sum(one.completion_tokens for one in answers if not isinstance(one, Exception))

        rows.append(_by_size(case, expert, library.name, ours))
    if case.peers and case.llama_server:
        rows.append(_of_server(case, expert))
    return rows


def _of_server(case: Case, expert: str) -> Row:
    server = Server(case, case.adapters(1), slots=max(SIZES), n_ctx=SERVER_CTX)
    with contextlib.closing(server):
        return _by_size(case, expert, server.name, server.count_together)


def _by_size(
    case: Case, expert: str, way: str, ask: Callable[[Sequence[Question], int], int]
) -> Row:
    """``ask`` answers all questions together with so many tokens each and returns the number of
    tokens.
    """
    sizes = SIZES if not case.quick else (1, 16)
    n_alone = 4 if case.quick else 6
    fresh = iter(case.questions_of(expert, 2 * max(SIZES) + 2 * (sum(SIZES) + n_alone)))

    def time_of(n: int, times: int, n_tokens: int) -> tuple[int, float]:
        found = [[next(fresh) for _ in range(n)] for _ in range(times)]
        started = time.perf_counter()
        tokens = sum(ask(questions, n_tokens) for questions in found)
        return tokens, time.perf_counter() - started

    time_of(1, 1, N_TOKENS)  # computes what all prompts begin with
    speeds, decoding = {}, {}
    for n in sizes:
        times = n_alone if n == 1 else 1
        tokens, seconds = time_of(n, times, N_TOKENS)
        speeds[n] = tokens / seconds
        if n in (1, 16):
            few, less = time_of(n, times, FEW_TOKENS)
            decoding[n] = (tokens - few) / (seconds - less)
    ratios = {
        "16 to 1": speeds[16] / speeds[1],
        "without prompts": decoding[16] / decoding[1],
    }
    return Row(way, {**{str(n): speed for n, speed in speeds.items()}, **ratios})


def mixed(case: Case) -> list[Row]:
    """Tokens a second of answers to several threads, of one expert and of three."""
    names = list(case.packages(3))
    rows = []
    with contextlib.closing(Library(case, case.packages(3))) as library:

        def ours(question: Question) -> int:
            return library.manager.generate(
                question.expert, question.prompt, **greedy(N_TOKENS)
            ).completion_tokens

        rows.append(_by_experts(case, names, library.name, ours))
    if case.peers and case.llama_server:
        server = Server(case, case.adapters(3), slots=N_CLIENTS, n_ctx=SERVER_CTX)
        with contextlib.closing(server):
            rows.append(
                _by_experts(
                    case, names, server.name, lambda one: server.count_together([one], N_TOKENS)
                )
            )
    return rows


def _by_experts(case: Case, names: Sequence[str], way: str, ask: Callable[[Question], int]) -> Row:
    figures = {}
    with ThreadPoolExecutor(N_CLIENTS) as pool:
        for name in names:
            ask(case.questions_of(name, 1)[0])
        for round_, experts in enumerate((names[:1], names)):
            questions = [
                case.questions_of(experts[n % len(experts)], 1, 100 * (1 + round_) + n)[0]
                for n in range(N_MIXED)
            ]
            started = time.perf_counter()
            tokens = sum(pool.map(ask, questions))
            figures[str(len(experts))] = tokens / (time.perf_counter() - started)
    return Row(way, {**figures, "ratio": figures["3"] / figures["1"]})
